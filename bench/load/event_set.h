// The events that are published: made from a seed, signed, all of one size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "bench/load/progress.h"
#include "nostr/event.h"
#include "nostr/keys.h"

namespace graspd::bench {

/// Bytes of each event as canonical JSON.
inline constexpr size_t kEventBytes = 423;
inline constexpr size_t kAuthors = 1000;
/// NIP-22: a comment, the most frequent kind below issues and patches (NIP-34).
inline constexpr nostr::Kind kEventKind = 1111;

/// Makes the i-th event of a seed; equal seeds and times give equal bytes, signatures included.
///
/// An event is a comment by one of kAuthors authors; every second one refers to another event with
/// an `e` tag, the others have a tag that relays do not index. `created_at` rises by a second an
/// event, with up to an hour of disorder. Thread-safe.
class EventMaker {
 public:
  EventMaker(uint64_t seed, uint64_t base_time);
  [[nodiscard]] nostr::Event Make(size_t i) const;
  /// Index of the author of event `i`.
  [[nodiscard]] size_t AuthorOf(size_t i) const;
  [[nodiscard]] const nostr::PublicKey& author(size_t index) const {
    return keys_[index].public_key();
  }

 private:
  uint64_t seed_, base_time_;
  std::vector<nostr::SecretKey> keys_;
};

/// Consecutive events in one piece of memory. Thread-compatible.
class EventSet {
 public:
  /// Takes the JSON of all events, `event_bytes` each.
  explicit EventSet(std::string text, size_t event_bytes = kEventBytes);
  EventSet(EventSet&&) = default;
  EventSet& operator=(EventSet&&) = default;

  [[nodiscard]] size_t size() const { return text_.size() / event_bytes_; }
  [[nodiscard]] std::string_view json(size_t i) const {
    return std::string_view(text_).substr(i * event_bytes_, event_bytes_);
  }
  /// 64 hex digits.
  [[nodiscard]] std::string_view id(size_t i) const;
  /// The event with this id, 64 hex digits.
  [[nodiscard]] std::optional<size_t> Find(std::string_view id) const;

 private:
  std::string text_;
  size_t event_bytes_;
  absl::flat_hash_map<std::string_view, uint32_t> by_id_;  // keys point into text_
};

/// Events [first, first + count) of `maker`. `file`, unless empty, keeps them between runs, one a
/// line, gzip-compressed if its name ends in .gz; it is made, or made longer, as needed. What is
/// missing is signed on two threads. Errors: kFailedPrecondition if the file holds other events;
/// those of reading and writing.
absl::StatusOr<EventSet> LoadOrSign(const EventMaker& maker, size_t first, size_t count,
                                    const std::string& file, Progress& progress);

}  // namespace graspd::bench
