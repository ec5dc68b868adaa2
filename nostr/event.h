// Nostr events (NIP-01): the value, its JSON, its id.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/fixed_bytes.h"

namespace graspd::nostr {

using Kind = uint16_t;

/// The tags of an event: a list of lists of strings, flat in memory (three allocations, whatever
/// the number of tags). A plain value.
///
///   for (Tag tag : event.tags) if (tag.name() == "e") Use(tag.value());
class Tags {
 public:
  /// One tag: a view into its Tags, valid as long as that is neither changed nor moved.
  /// Never empty when it comes from a parsed event.
  class Tag {
   public:
    Tag(const Tags& tags, size_t first, size_t last) : tags_(tags), first_(first), last_(last) {}
    [[nodiscard]] size_t size() const { return last_ - first_; }
    /// Element `i`, or "" past the end: most readers treat a missing value like an empty one.
    [[nodiscard]] std::string_view operator[](size_t i) const {
      return i < size() ? tags_.Element(first_ + i) : std::string_view();
    }
    [[nodiscard]] std::string_view name() const { return (*this)[0]; }
    [[nodiscard]] std::string_view value() const { return (*this)[1]; }

   private:
    const Tags& tags_;
    size_t first_, last_;
  };

  class Iterator {
   public:
    Iterator(const Tags& tags, size_t i) : tags_(&tags), i_(i) {}
    Tag operator*() const { return (*tags_)[i_]; }
    Iterator& operator++() {
      ++i_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return i_ == other.i_; }

   private:
    const Tags* tags_;
    size_t i_;
  };

  [[nodiscard]] size_t size() const { return tag_ends_.size(); }
  [[nodiscard]] bool empty() const { return tag_ends_.empty(); }
  [[nodiscard]] Tag operator[](size_t i) const {
    return Tag(*this, i == 0 ? 0 : tag_ends_[i - 1], tag_ends_[i]);
  }
  [[nodiscard]] Iterator begin() const { return {*this, 0}; }
  [[nodiscard]] Iterator end() const { return {*this, size()}; }

  /// Second element of the first tag called `name`; "" if there is none (see Has).
  [[nodiscard]] std::string_view FirstValue(std::string_view name) const;
  [[nodiscard]] bool Has(std::string_view name) const;

  // Building: elements in order, each tag ended by EndTag().
  void AddElement(std::string_view text);
  void EndTag();
  /// Back to none; what is allocated stays.
  void Clear();
  /// AddElement for each, then EndTag.
  void Add(std::initializer_list<std::string_view> elements);

  bool operator==(const Tags&) const = default;

  /// About how many bytes of JSON the tags become, for reserving.
  [[nodiscard]] size_t JsonSizeHint() const {
    return text_.size() + text_.size() / 16 + 3 * element_ends_.size() + 3 * tag_ends_.size();
  }

 private:
  [[nodiscard]] std::string_view Element(size_t i) const {
    const uint32_t begin = i == 0 ? 0 : element_ends_[i - 1];
    return std::string_view(text_).substr(begin, element_ends_[i] - begin);
  }
  std::string text_;                    // all elements, one after the other
  std::vector<uint32_t> element_ends_;  // end of each element in text_
  std::vector<uint32_t> tag_ends_;      // one past the last element of each tag
};
using Tag = Tags::Tag;

/// A Nostr event. A plain value; says nothing about whether id and signature are right (see
/// keys.h).
struct Event {
  EventId id;
  PublicKey pubkey;
  uint64_t created_at = 0;  // seconds since 1970, at most 2^53
  Kind kind = 0;
  Tags tags;
  std::string content;  // UTF-8, may hold NUL
  Signature sig;

  bool operator==(const Event&) const = default;
};

/// Order in which relays answer (NIP-01): newest first, ties by lower id first.
[[nodiscard]] inline bool ServedBefore(uint64_t created_at_a, const EventId& a,
                                       uint64_t created_at_b, const EventId& b) {
  return created_at_a != created_at_b ? created_at_a > created_at_b : a < b;
}

/// Reads one event from JSON text: an object with the seven fields of NIP-01 in any order, other
/// fields ignored. Strict: duplicate keys, depth over 16, invalid UTF-8, lone surrogates, numbers
/// that are not integers in range, empty tags, tags that hold anything but strings, upper-case hex
/// and trailing text are refused. Checks neither id nor signature, nor any limit on sizes. Errors:
/// kInvalidArgument with a message fit to follow "invalid: ".
absl::StatusOr<Event> ParseEvent(std::string_view json);

/// The one JSON text in which an event is stored and served: id, pubkey, created_at, kind, tags,
/// content, sig, without white space, with NIP-01's escapes.
std::string EventJson(const Event& event);

/// What the id is the SHA-256 of (NIP-01): [0,pubkey,created_at,kind,tags,content].
std::string IdPreimage(const Event& event);
EventId ComputeId(const Event& event);

/// An event with its served JSON, shared by everything that handles it after acceptance.
struct EventRecord {
  Event event;
  std::string json;  // EventJson(event)
};
using EventPtr = std::shared_ptr<const EventRecord>;
[[nodiscard]] EventPtr MakeRecord(Event event);
/// The same, and ComputeId of the event into `id`, for less than both cost one after the other.
[[nodiscard]] EventPtr MakeRecord(Event event, EventId& id);

}  // namespace graspd::nostr
