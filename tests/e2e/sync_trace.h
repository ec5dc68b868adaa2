#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "nostr/event.h"

namespace graspd::e2e {

/// Options for strace, before its -o, under which it writes what CheckSyncTrace() reads.
[[nodiscard]] std::vector<std::string> SyncTraceOptions();

/// What a trace says of the order of syncs and answers.
struct SyncTraceFindings {
  size_t ok_messages = 0;               // OK true that left
  std::vector<std::string> violations;  // one line each: an OK true that left too early
};

/// Follows each of `events` through a trace of graspd on LMDB. Before its `OK true` is handed to
/// the kernel, in this order and each call returned: its id is written to data.mdb; that file is
/// synced; the meta page is written through a descriptor opened with O_DSYNC (that write is what
/// makes the commit count). Throws std::runtime_error if the trace cannot be read.
[[nodiscard]] SyncTraceFindings CheckSyncTrace(const std::string& path,
                                               const std::vector<nostr::Event>& events);

}  // namespace graspd::e2e
