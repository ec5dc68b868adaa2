#include "sync/status.h"

namespace graspd::sync {

std::string_view RemoteStateName(RemoteState state) {
  switch (state) {
    case RemoteState::kDiscovered:
      return "discovered";
    case RemoteState::kConnecting:
      return "connecting";
    case RemoteState::kSyncing:
      return "syncing";
    case RemoteState::kLive:
      return "live";
    case RemoteState::kLiveWithGaps:
      return "live_with_gaps";
    case RemoteState::kBackoff:
      return "backoff";
    case RemoteState::kRateLimited:
      return "rate_limited";
    case RemoteState::kPaused:
      return "paused";
    case RemoteState::kDead:
      return "dead";
    case RemoteState::kBlocked:
      return "blocked";
  }
  return "unknown";
}

}  // namespace graspd::sync
