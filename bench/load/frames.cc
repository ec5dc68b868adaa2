#include "bench/load/frames.h"

#include "base/status_macros.h"

namespace graspd::bench {
namespace {

constexpr uint8_t kFinal = 0x80, kReserved = 0x70, kOpcode = 0x0f, kMasked = 0x80;

bool IsControl(Opcode opcode) { return static_cast<uint8_t>(opcode) >= 8; }

void AppendBigEndian(std::string& out, uint64_t value, int bytes) {
  while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes));
}

}  // namespace

void AppendFrame(std::string& out, Opcode opcode, std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (const auto part : parts) size += part.size();
  out += static_cast<char>(kFinal | static_cast<uint8_t>(opcode));
  if (size < 126) {
    out += static_cast<char>(kMasked | size);
  } else if (size < 65536) {
    out += static_cast<char>(kMasked | 126);
    AppendBigEndian(out, size, 2);
  } else {
    out += static_cast<char>(kMasked | 127);
    AppendBigEndian(out, size, 8);
  }
  AppendBigEndian(out, 0, 4);  // masking key
  for (const auto part : parts) out += part;
}

absl::StatusOr<FrameReader::Frame> FrameReader::Next(std::string_view bytes) {
  if (bytes.size() < 2) return Frame{};
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  Frame frame{.final = (byte(0) & kFinal) != 0, .opcode = static_cast<Opcode>(byte(0) & kOpcode)};
  if ((byte(0) & kReserved) != 0 || (byte(1) & kMasked) != 0) {
    return absl::InvalidArgumentError("not a WebSocket frame of a server");
  }
  uint64_t length = byte(1);
  size_t header = 2;
  if (length >= 126) {
    const size_t extended = length == 126 ? 2 : 8;
    if (bytes.size() < header + extended) return Frame{};
    length = 0;
    for (size_t i = 0; i < extended; ++i) length = length << 8 | byte(header + i);
    header += extended;
  }
  if (length > kMaxMessageBytes) return absl::InvalidArgumentError("a frame of over 64 MiB");
  if (bytes.size() < header + length) return Frame{};
  frame.payload = bytes.substr(header, length);
  frame.size = header + length;
  return frame;
}

absl::Status FrameReader::Take(const Frame& frame, const Visit& visit) {
  if (IsControl(frame.opcode)) return visit(frame.opcode, frame.payload);
  if ((frame.opcode == Opcode::kContinuation) != in_message_) {
    return absl::InvalidArgumentError("WebSocket fragments out of order");
  }
  in_message_ = !frame.final;
  if (frame.final && fragments_.empty()) return visit(Opcode::kText, frame.payload);
  if (fragments_.size() + frame.payload.size() > kMaxMessageBytes) {
    return absl::InvalidArgumentError("a message of over 64 MiB");
  }
  fragments_ += frame.payload;
  if (!frame.final) return absl::OkStatus();
  GRASPD_RETURN_IF_ERROR(visit(Opcode::kText, fragments_));
  fragments_.clear();
  return absl::OkStatus();
}

absl::Status FrameReader::Feed(std::string_view bytes, const Visit& visit) {
  const bool was_pending = !pending_.empty();
  if (was_pending) {
    pending_ += bytes;
    bytes = pending_;
  }
  while (true) {
    GRASPD_ASSIGN_OR_RETURN(const Frame frame, Next(bytes));
    if (frame.size == 0) break;
    GRASPD_RETURN_IF_ERROR(Take(frame, visit));
    bytes.remove_prefix(frame.size);
  }
  if (was_pending) {
    pending_.erase(0, pending_.size() - bytes.size());
  } else {
    pending_ = bytes;
  }
  return absl::OkStatus();
}

}  // namespace graspd::bench
