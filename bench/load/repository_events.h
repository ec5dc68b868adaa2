// Repositories with issues and comments (NIP-34): what sync is about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "nostr/event.h"
#include "nostr/keys.h"

namespace graspd::bench {

/// Makes repositories from a seed; equal seeds and times give equal events. Thread-safe.
class RepositoryMaker {
 public:
  RepositoryMaker(uint64_t seed, uint64_t base_time);

  /// A later `version` replaces an earlier one.
  [[nodiscard]] nostr::Event Announcement(size_t repository, const std::vector<std::string>& relays,
                                          uint64_t version = 0) const;
  /// The `number`-th issue of a repository.
  [[nodiscard]] nostr::Event Issue(size_t repository, size_t number) const;
  /// `count` events of each of the repositories [0, repositories): `issues` of them issues, first;
  /// the others comments (NIP-22) on these in turn. Signed on two threads.
  [[nodiscard]] std::vector<nostr::Event> Events(size_t repositories, size_t issues,
                                                 size_t count) const;

 private:
  [[nodiscard]] nostr::Event Comment(size_t repository, const nostr::EventId& issue,
                                     size_t number) const;
  [[nodiscard]] const nostr::SecretKey& KeyOf(size_t number) const {
    return keys_[number % keys_.size()];
  }
  uint64_t base_time_;
  std::vector<nostr::SecretKey> keys_;
};

}  // namespace graspd::bench
