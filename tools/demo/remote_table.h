#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace graspd::demo {

/// What the table shows of one remote.
struct RemoteRow {
  std::string url, state, method;
  std::string reason;  // of the state, if it needs one: why it backs off, is blocked, ...
  uint64_t needed = 0, fetched = 0, stored = 0;
  uint64_t refused = 0;  // by the acceptance policy, for good or until another event lifts it
  bool operator==(const RemoteRow&) const = default;
};

/// Asks a graspd for its remotes over the admin API, as grpcurl would. Thread-compatible.
class AdminClient {
 public:
  explicit AdminClient(const std::string& address);
  ~AdminClient();
  absl::StatusOr<std::vector<RemoteRow>> ListRemotes();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The table as it fits on a terminal: a heading, one line for each remote and, below it, another
/// for its reason. Lines are cut to `columns` bytes; if there would be more than `lines`, the last
/// one tells how many remotes are left out. `lines` is at least 2.
std::vector<std::string> TableLines(const std::vector<RemoteRow>& rows, size_t columns,
                                    size_t lines);

/// Prints the rows: on a terminal in place, redrawn on change; else a new block for each change.
class RemoteTable {
 public:
  explicit RemoteTable(std::FILE* out);
  void Show(const std::vector<RemoteRow>& rows);

 private:
  std::FILE* const out_;
  const bool in_place_;
  std::vector<RemoteRow> shown_;
  size_t lines_ = 0;
};

}  // namespace graspd::demo
