#include "nostr/filter.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "nostr/json_reader.h"
#include "nostr/json_writer.h"
#include "nostr/sort_unique.h"

namespace graspd::nostr {
namespace {

// ---- reading ----

absl::Status NotHex(const char* what) {
  return absl::InvalidArgumentError(std::string(what) + " must be 64 lower-case hex digits");
}

// A list of strings, each handed to `add`, which returns a status.
template <typename Add>
absl::Status ReadStrings(json::Value value, Add&& add) {
  json::Array list;
  if (value.get_array().get(list)) return absl::InvalidArgumentError("a filter needs lists");
  return json::ForEachElement(list, [&](json::Value element) {
    std::string_view text;
    GRASPD_RETURN_IF_ERROR(json::ReadString(element, "a filter's value", text));
    return add(text);
  });
}

template <typename Bytes>
absl::Status ReadHexList(json::Value value, const char* what,
                         std::optional<std::vector<Bytes>>& out) {
  out.emplace();
  return ReadStrings(value, [&](std::string_view text) {
    const auto bytes = Bytes::FromHex(text);
    if (!bytes) return NotHex(what);
    out->push_back(*bytes);
    return absl::OkStatus();
  });
}

absl::Status ReadKinds(json::Value value, std::optional<std::vector<Kind>>& out) {
  json::Array list;
  if (value.get_array().get(list)) return absl::InvalidArgumentError("a filter needs lists");
  out.emplace();
  return json::ForEachElement(list, [&](json::Value element) {
    uint64_t kind = 0;
    GRASPD_RETURN_IF_ERROR(json::ReadInteger(element, "a kind", 65535, kind));
    out->push_back(static_cast<Kind>(kind));
    return absl::OkStatus();
  });
}

absl::Status ReadTagValues(json::Value value, char letter, std::vector<std::string>& out) {
  const bool hex_only = letter == 'e' || letter == 'p' || letter == 'E' || letter == 'P';
  return ReadStrings(value, [&](std::string_view text) {
    if (hex_only && !EventId::FromHex(text)) return NotHex("a value of #e or #p");
    out.emplace_back(text);
    return absl::OkStatus();
  });
}

absl::Status ReadNumber(json::Value value, const char* what, std::optional<uint64_t>& out) {
  return json::ReadInteger(value, what, json::kMaxInteger, out.emplace());
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

absl::Status ReadCondition(std::string_view key, json::Value value, Filter& filter) {
  if (key == "ids") return ReadHexList(value, "an id", filter.ids);
  if (key == "authors") return ReadHexList(value, "an author", filter.authors);
  if (key == "kinds") return ReadKinds(value, filter.kinds);
  if (key == "since") return ReadNumber(value, "since", filter.since);
  if (key == "until") return ReadNumber(value, "until", filter.until);
  if (key == "limit") return ReadNumber(value, "limit", filter.limit);
  if (key.size() == 2 && key[0] == '#' && IsLetter(key[1])) {
    return ReadTagValues(value, key[1], filter.tags[key[1]]);
  }
  return absl::UnimplementedError("unknown key in a filter");
}

// ---- writing ----

// Appends `"key":` with the comma that separates it from what is before.
void AppendKey(std::string& out, std::string_view key) {
  if (out.back() != '{') out += ',';
  AppendJsonString(out, key);
  out += ':';
}

template <typename List, typename Append>
void AppendList(std::string& out, const List& list, Append&& append) {
  out += '[';
  bool first = true;
  for (const auto& item : list) {
    if (!first) out += ',';
    first = false;
    append(item);
  }
  out += ']';
}

// ---- matching ----

template <typename T>
bool Allows(const std::optional<std::vector<T>>& sorted, const T& value) {
  return !sorted || std::binary_search(sorted->begin(), sorted->end(), value);
}

bool HasTagValue(const Tags& tags, char letter, const std::vector<std::string>& sorted) {
  for (const Tag tag : tags) {
    if (tag.size() < 2 || tag.name() != std::string_view(&letter, 1)) continue;
    if (std::binary_search(sorted.begin(), sorted.end(), tag.value(), std::less<>())) return true;
  }
  return false;
}

// Two ascending lists: the shorter one is looked up in the longer, unless reading both is cheaper.
bool HaveCommonValue(std::span<const TagValues::Entry> have,
                     const std::vector<std::string>& wanted) {
  const auto less = [](std::string_view a, std::string_view b) { return a < b; };
  const size_t few = std::min(have.size(), wanted.size()),
               many = std::max(have.size(), wanted.size());
  if (few * std::bit_width(many) < few + many) {
    if (have.size() <= wanted.size()) {
      return std::any_of(have.begin(), have.end(), [&](const auto& entry) {
        return std::binary_search(wanted.begin(), wanted.end(), entry.value, less);
      });
    }
    return std::any_of(wanted.begin(), wanted.end(), [&](const std::string_view value) {
      const auto at = std::lower_bound(
          have.begin(), have.end(), value,
          [](const auto& entry, std::string_view text) { return entry.value < text; });
      return at != have.end() && at->value == value;
    });
  }
  auto mine = have.begin();
  auto theirs = wanted.begin();
  while (mine != have.end() && theirs != wanted.end()) {
    const int order = mine->value.compare(*theirs);
    if (order == 0) return true;
    order < 0 ? void(++mine) : void(++theirs);
  }
  return false;
}

bool MatchesButForTags(const Filter& filter, const Event& event) {
  if (filter.since && event.created_at < *filter.since) return false;
  if (filter.until && event.created_at > *filter.until) return false;
  return Allows(filter.kinds, event.kind) && Allows(filter.authors, event.pubkey) &&
         Allows(filter.ids, event.id);
}

}  // namespace

void TagValues::Assign(const Tags& tags) {
  entries_.clear();
  for (const Tag tag : tags) {
    if (tag.size() >= 2 && tag.name().size() == 1) {
      entries_.push_back({tag.name().front(), tag.value()});
    }
  }
  std::sort(entries_.begin(), entries_.end());
  entries_.erase(std::unique(entries_.begin(), entries_.end()), entries_.end());
}

std::span<const TagValues::Entry> TagValues::Of(char letter) const {
  const auto begin = std::lower_bound(entries_.begin(), entries_.end(), Entry{letter, {}});
  const auto end = std::upper_bound(
      begin, entries_.end(), letter,
      [](char letter_before, const Entry& entry) { return letter_before < entry.letter; });
  return {begin, end};
}

void Filter::Normalize() {
  if (ids) SortAndDedupe(*ids);
  if (authors) SortAndDedupe(*authors);
  if (kinds) SortAndDedupe(*kinds);
  for (auto& [letter, values] : tags) SortAndDedupe(values);
}

size_t Filter::ValueCount() const {
  size_t count =
      (ids ? ids->size() : 0) + (authors ? authors->size() : 0) + (kinds ? kinds->size() : 0);
  for (const auto& [letter, values] : tags) count += values.size();
  return count;
}

bool Filter::MatchesNothing() const {
  return (ids && ids->empty()) || (authors && authors->empty()) || (kinds && kinds->empty()) ||
         std::any_of(tags.begin(), tags.end(), [](const auto& tag) { return tag.second.empty(); });
}

absl::Status json::ReadFilter(Object object, int depth, Filter& filter) {
  // An unknown condition may hold anything, yet malformed text is reported as such: the whole
  // filter is read before the first unknown key counts.
  absl::Status unknown;
  GRASPD_RETURN_IF_ERROR(ForEachField(object, [&](std::string_view key, Value value) {
    absl::Status read = ReadCondition(key, value, filter);
    if (!absl::IsUnimplemented(read)) return read;
    unknown.Update(read);
    return Skip(value, depth + 1);
  }));
  GRASPD_RETURN_IF_ERROR(unknown);
  filter.Normalize();
  return absl::OkStatus();
}

absl::StatusOr<Filter> ParseFilter(std::string_view json) {
  json::Document document(json);
  json::Object root;
  GRASPD_RETURN_IF_ERROR(document.Root(root));
  Filter filter;
  GRASPD_RETURN_IF_ERROR(json::ReadFilter(root, 0, filter));
  GRASPD_RETURN_IF_ERROR(document.Finish());
  return filter;
}

std::string FilterJson(const Filter& filter) {
  std::string out = "{";
  const auto append_hex = [&](const auto& bytes) { AppendHexString(out, bytes.bytes); };
  const auto append_integer = [&](uint64_t value) { AppendInteger(out, value); };
  const auto append_text = [&](const std::string& text) { AppendJsonString(out, text); };
  if (filter.ids) {
    AppendKey(out, "ids");
    AppendList(out, *filter.ids, append_hex);
  }
  if (filter.authors) {
    AppendKey(out, "authors");
    AppendList(out, *filter.authors, append_hex);
  }
  if (filter.kinds) {
    AppendKey(out, "kinds");
    AppendList(out, *filter.kinds, append_integer);
  }
  for (const auto& [letter, values] : filter.tags) {
    AppendKey(out, std::string{'#', letter});
    AppendList(out, values, append_text);
  }
  const auto append_number = [&](std::string_view key, const std::optional<uint64_t>& value) {
    if (!value) return;
    AppendKey(out, key);
    AppendInteger(out, *value);
  };
  append_number("since", filter.since);
  append_number("until", filter.until);
  append_number("limit", filter.limit);
  out += '}';
  return out;
}

bool Matches(const Filter& filter, const Event& event) {
  return MatchesButForTags(filter, event) &&
         std::all_of(filter.tags.begin(), filter.tags.end(), [&](const auto& condition) {
           return HasTagValue(event.tags, condition.first, condition.second);
         });
}

bool Matches(const Filter& filter, const Event& event, const TagValues& tags) {
  return MatchesButForTags(filter, event) &&
         std::all_of(filter.tags.begin(), filter.tags.end(), [&](const auto& condition) {
           return HaveCommonValue(tags.Of(condition.first), condition.second);
         });
}

bool MatchesAny(const std::vector<Filter>& filters, const Event& event) {
  return std::any_of(filters.begin(), filters.end(),
                     [&](const Filter& filter) { return Matches(filter, event); });
}

}  // namespace graspd::nostr
