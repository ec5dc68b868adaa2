#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace graspd::base {

/// Reads a text file line by line, plain or gzip-compressed (told apart by content). Lines of any
/// length, without their newline. Thread-compatible.
class LineReader {
 public:
  /// Errors: kNotFound, kPermissionDenied.
  static absl::StatusOr<LineReader> Open(const std::string& path);
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  /// The next line, valid until the next call; nullopt at the end or after an error (see status()).
  std::optional<std::string_view> Next();
  /// kDataLoss if the file is truncated or not valid gzip.
  [[nodiscard]] absl::Status status() const;

 private:
  struct Impl;
  explicit LineReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graspd::base
