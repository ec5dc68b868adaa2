// Strict JSON, on top of simdjson's on-demand parser, which by itself neither looks at values that
// nobody asks for nor at what follows the document.
//
// A reader walks everything: each value goes through one of the Read functions or through Skip, and
// Finish() looks for trailing text. Then the whole text has been checked: grammar, UTF-8, escapes,
// surrogates, duplicate keys, depth. All errors are kInvalidArgument, with a message fit to follow
// "invalid: ".
#pragma once

#include <simdjson.h>

#include <array>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "nostr/event.h"
#include "nostr/filter.h"

namespace graspd::nostr::json {

using Array = simdjson::ondemand::array;
using Object = simdjson::ondemand::object;
using Value = simdjson::ondemand::value;

/// How deep arrays and objects may nest, the outermost counted as 1.
inline constexpr int kMaxDepth = 16;
/// Largest text that is read at all; the flat Tags count in 32 bits.
inline constexpr size_t kMaxTextBytes = size_t{64} << 20;
/// Largest integer that every JSON implementation keeps exactly.
inline constexpr uint64_t kMaxInteger = uint64_t{1} << 53;

[[nodiscard]] absl::Status Malformed();

/// One text being read. Uses buffers of the calling thread: at most one Document per thread at a
/// time, and what it hands out (strings too) is valid until it is destroyed.
class Document {
 public:
  explicit Document(std::string_view text);
  ~Document();
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  /// The root, which must be of that type. Call one of the two, once.
  [[nodiscard]] absl::Status Root(Object& root);
  [[nodiscard]] absl::Status Root(Array& root);
  /// To be called after the root was walked to its end: nothing may follow.
  [[nodiscard]] absl::Status Finish();

 private:
  absl::Status opened_;
  const size_t size_;
  simdjson::ondemand::document document_;
};

/// A string with its escapes resolved. `what` names it in the error.
[[nodiscard]] absl::Status ReadString(Value value, const char* what, std::string_view& out);
/// An integer literal in [0, max]: no sign, fraction or exponent, however equal in value.
[[nodiscard]] absl::Status ReadInteger(Value value, const char* what, uint64_t max, uint64_t& out);
/// true or false.
[[nodiscard]] absl::Status ReadBool(Value value, const char* what, bool& out);
/// Checks a value that nobody wants. `depth` is that of the container it stands in.
[[nodiscard]] absl::Status Skip(Value value, int depth);

/// The keys of one object seen so far. Ordered, not hashed: strangers choose them.
class KeySet {
 public:
  /// False if `key` is in it already.
  bool Insert(std::string_view key) {
    for (size_t i = 0; i < few_; ++i) {
      if (first_[i] == key) return false;
    }
    if (few_ == first_.size()) return rest_.insert(key).second;
    first_[few_++] = key;
    return true;
  }

 private:
  std::array<std::string_view, 12> first_;  // enough for events and filters, so no allocation
  size_t few_ = 0;
  std::set<std::string_view> rest_;
};

/// Calls `handle(key, value)`, which returns an absl::Status, for each member; stops at an error.
template <typename Handler>
absl::Status ForEachField(Object object, Handler&& handle) {
  KeySet keys;
  for (auto field : object) {
    std::string_view key;
    Value value;
    if (field.unescaped_key().get(key) || field.value().get(value)) return Malformed();
    if (!keys.Insert(key)) return absl::InvalidArgumentError("duplicate key in an object");
    GRASPD_RETURN_IF_ERROR(handle(key, value));
  }
  return absl::OkStatus();
}

/// Calls `handle(value)`, which returns an absl::Status, for each element; stops at an error.
template <typename Handler>
absl::Status ForEachElement(Array array, Handler&& handle) {
  for (auto element : array) {
    Value value;
    if (element.get(value)) return Malformed();
    GRASPD_RETURN_IF_ERROR(handle(value));
  }
  return absl::OkStatus();
}

/// Walks one array whose elements mean different things:
/// `ArrayWalk walk(array); walk.Next(value); ... walk.End()`.
class ArrayWalk {
 public:
  explicit ArrayWalk(Array array) : array_(std::move(array)) {}
  /// The next element into `value`; false at the end of the array or at an error (see status()).
  [[nodiscard]] bool Next(Value& value);
  [[nodiscard]] const absl::Status& status() const { return status_; }
  /// OK if there was no error and no element is left.
  [[nodiscard]] absl::Status End();

 private:
  Array array_;
  simdjson::simdjson_result<simdjson::ondemand::array_iterator> at_;
  bool started_ = false, ended_ = false;
  absl::Status status_;
};

/// Read an event or a filter that stands in a container of depth `depth` (0: is the root). In
/// event.cc and filter.cc.
[[nodiscard]] absl::Status ReadEvent(Object object, int depth, Event& event);
[[nodiscard]] absl::Status ReadFilter(Object object, int depth, Filter& filter);

}  // namespace graspd::nostr::json
