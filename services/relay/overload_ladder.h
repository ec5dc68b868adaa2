#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace graspd::relay {

/// What an overloaded relay gives up, least missed first. Each level includes those below it.
/// Events are taken on all of them: only the bounds of ingest itself refuse those.
enum class OverloadLevel : uint8_t {
  kNone,
  kReads,        // stored events, COUNT and NEG-OPEN are refused; live subscriptions go on
  kConnections,  // new connections are refused, idle ones closed
  kQueues,       // clients with much unread output are cut
};
[[nodiscard]] std::string_view OverloadLevelName(OverloadLevel level);

/// Decides on which level the relay stands. A level begins when the fullest resource passes 80, 90
/// or 95 % of its budget, and ends 5 % below that, so that what a level saves does not end it at
/// once. Pure and thread-compatible.
class OverloadLadder {
 public:
  struct Resource {
    size_t used = 0;
    size_t budget = 0;  // 0 = without a limit
  };
  struct Load {
    Resource memory;    // of the process
    Resource outbound;  // bytes that wait for clients to read them
  };

  /// Takes the present load; returns the level from now on.
  OverloadLevel Update(const Load& load);
  [[nodiscard]] OverloadLevel level() const { return level_; }

 private:
  OverloadLevel level_ = OverloadLevel::kNone;
};

}  // namespace graspd::relay
