// WebSocket frames as a client writes and reads them (RFC 6455, section 5), without extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace graspd::bench {

enum class Opcode : uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10
};

/// Appends one whole message made of `parts`. The masking key is zero, which costs a server what
/// any other key does and us nothing.
void AppendFrame(std::string& out, Opcode opcode, std::initializer_list<std::string_view> parts);

/// Cuts a server's bytes into messages. Thread-compatible.
class FrameReader {
 public:
  /// Larger messages are an error.
  static constexpr size_t kMaxMessageBytes = size_t{64} << 20;
  /// Called for each whole message, text and binary alike (kText), and each control frame. The
  /// payload is valid during the call.
  using Visit = std::function<absl::Status(Opcode opcode, std::string_view payload)>;

  /// Reads on. What is whole in `bytes` is visited where it lies, the rest copied. Errors:
  /// kInvalidArgument for what is no frame of a server; those of `visit`, which ends the reading.
  absl::Status Feed(std::string_view bytes, const Visit& visit);

 private:
  struct Frame {
    bool final = false;
    Opcode opcode = Opcode::kText;
    std::string_view payload;
    size_t size = 0;  // header included; 0 = more bytes are needed
  };
  static absl::StatusOr<Frame> Next(std::string_view bytes);
  absl::Status Take(const Frame& frame, const Visit& visit);

  std::string pending_;    // the beginning of a frame
  std::string fragments_;  // of a message in several frames
  bool in_message_ = false;
};

}  // namespace graspd::bench
