#include "base/line_reader.h"

#include <zlib.h>

#include <array>
#include <cerrno>
#include <utility>

namespace graspd::base {

struct LineReader::Impl {
  gzFile file = nullptr;
  std::array<char, 64 * 1024> buffer;
  size_t begin = 0, end = 0;  // unread part of buffer
  std::string line;
  absl::Status status;

  ~Impl() {
    if (file) gzclose(file);
  }
  // False at the end of the file or on an error.
  bool Fill() {
    const int n = gzread(file, buffer.data(), buffer.size());
    int code = Z_OK;
    const char* text = gzerror(file, &code);
    if (n < 0 || code == Z_BUF_ERROR) status = absl::DataLossError(text);
    begin = 0;
    end = n > 0 ? static_cast<size_t>(n) : 0;
    return n > 0;
  }
};

LineReader::LineReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

absl::StatusOr<LineReader> LineReader::Open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  errno = 0;
  impl->file = gzopen(path.c_str(), "rb");
  if (!impl->file) return absl::ErrnoToStatus(errno ? errno : ENOMEM, "cannot open " + path);
  return LineReader(std::move(impl));
}

std::optional<std::string_view> LineReader::Next() {
  auto& in = *impl_;
  in.line.clear();
  for (bool any = false;; any = true) {
    if (in.begin == in.end && !in.Fill()) {
      // After an error the line may lack its end, and half a line is none.
      if (!any || !in.status.ok()) return std::nullopt;
      return in.line;
    }
    const std::string_view rest(in.buffer.data() + in.begin, in.end - in.begin);
    const size_t newline = rest.find('\n');
    in.line += rest.substr(0, newline);
    if (newline != std::string_view::npos) {
      in.begin += newline + 1;
      return in.line;
    }
    in.begin = in.end;
  }
}

absl::Status LineReader::status() const { return impl_->status; }

}  // namespace graspd::base
