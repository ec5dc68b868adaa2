#pragma once

#include <atomic>
#include <functional>

#include "base/mutex.h"
#include "net/websocket_server.h"
#include "services/relay/overload_ladder.h"

namespace graspd::relay {

/// The level on which the relay stands, for whoever serves by it. Thread-safe.
struct Overload {
  std::atomic<OverloadLevel> level{OverloadLevel::kNone};
  [[nodiscard]] bool sheds_reads() const { return level >= OverloadLevel::kReads; }
};

/// Looks at memory and queues, and has the server give up what their level says.
///
/// Threading: thread-safe. Lifetime: what it refers to is used until Stop() has returned.
class OverloadGuard {
 public:
  struct Budget {
    size_t memory_bytes;
    size_t outbound_bytes;
  };
  /// `memory_used` and `return_memory` as base/process_memory.h has them; the second may take a
  /// while and is to run on another thread.
  OverloadGuard(Budget budget, net::WebSocketServer& server, Overload& overload,
                std::function<size_t()> memory_used, std::function<void()> return_memory);

  /// To be called about once a second.
  void Check();
  /// Check() does nothing from now on.
  void Stop();

 private:
  [[nodiscard]] bool MayHaveFreedMuch(size_t memory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Report(OverloadLevel before, OverloadLevel now, size_t memory, size_t outbound) const;

  const Budget budget_;
  net::WebSocketServer& server_;
  Overload& overload_;
  const std::function<size_t()> memory_used_;
  const std::function<void()> return_memory_;
  base::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  OverloadLadder ladder_ ABSL_GUARDED_BY(mutex_);
  int checks_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t least_memory_ ABSL_GUARDED_BY(mutex_);  // since it was made: a crowd may be there at once
  size_t memory_then_ ABSL_GUARDED_BY(mutex_) = 0;
  int checks_since_return_ ABSL_GUARDED_BY(mutex_) = 0;
  int checks_until_return_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace graspd::relay
