// What repositories have: announcements, issues, and comments on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/load/event_set.h"
#include "bench/load/progress.h"
#include "nostr/event.h"
#include "nostr/keys.h"
#include "nostr/rules.h"

namespace graspd::bench {

/// Bytes of each issue and comment as canonical JSON: a comment's seven tags alone take 400.
inline constexpr size_t kRepoEventBytes = 900;

/// Makes the events of a few repositories (NIP-34, NIP-22); equal arguments give equal events.
///
/// Events 0 to `issues` - 1 are issues, spread over the repositories; all others are comments,
/// spread over the issues, with the tags E, A, K, P of their issue and e, k, p of the same. All by
/// 100 authors; `created_at` rises by a second an event. Thread-safe.
class RepoEventMaker {
 public:
  RepoEventMaker(uint64_t seed, uint64_t base_time, size_t repos, size_t issues);
  [[nodiscard]] size_t repos() const { return owners_.size(); }
  [[nodiscard]] nostr::Address address(size_t repo) const;
  [[nodiscard]] nostr::Event Make(size_t i) const;
  /// The i-th issue; there are more of them than those that Make() gives.
  [[nodiscard]] nostr::Event Issue(size_t i) const;
  [[nodiscard]] nostr::Event Announcement(size_t repo, const std::vector<std::string>& relays,
                                          uint64_t created_at) const;

 private:
  [[nodiscard]] const nostr::SecretKey& author(size_t i) const {
    return authors_[i % authors_.size()];
  }
  [[nodiscard]] nostr::Event Finish(nostr::Event event, size_t i) const;

  uint64_t seed_, base_time_;
  std::vector<nostr::SecretKey> owners_, authors_;
  std::vector<nostr::EventId> issues_;
};

/// Events [0, count), signed on two threads.
EventSet SignRepoEvents(const RepoEventMaker& maker, size_t count, Progress& progress);

/// Filters, without the brackets of a list, that select just the issues and comments of `maker`.
std::string RepoFiltersJson(const RepoEventMaker& maker);

}  // namespace graspd::bench
