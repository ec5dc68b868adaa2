#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace graspd::base {

/// Writes a text file line by line, gzip-compressed if its name ends in ".gz".
///
/// The file appears under its name only when it is complete, in place of one that was there: until
/// Finish() it is called `path`.partial, and is removed if Finish() never comes. Standard output
/// ("-"), devices and pipes are written to directly. Thread-compatible.
class LineWriter {
 public:
  /// Errors: kNotFound, kPermissionDenied, ... as the system says.
  static absl::StatusOr<LineWriter> Open(const std::string& path);
  LineWriter(LineWriter&&) noexcept;
  LineWriter& operator=(LineWriter&&) noexcept;
  ~LineWriter();

  /// Adds the newline. Errors: kResourceExhausted (disk full), kUnavailable (the reader of a pipe
  /// is gone, an I/O error); what was written so far is worth nothing then.
  absl::Status Write(std::string_view line);
  /// Durable on return, where files are. The last call. Errors as above.
  absl::Status Finish();

 private:
  struct Impl;
  explicit LineWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graspd::base
