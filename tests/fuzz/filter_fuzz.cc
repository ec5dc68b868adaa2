// Filters: one canonical text, and the same verdict on events from three implementations: ours on
// events, ours on stored rows, and the one below, which reads NIP-01 from the filter's JSON.
#include <algorithm>
#include <string>
#include <vector>

#include "nostr/event_builder.h"
#include "nostr/filter.h"
#include "storage/lmdb/row.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_json.h"

namespace graspd::fuzz {
namespace {

using boost::json::value;
using nostr::Event;

bool Holds(const value& list, std::string_view text) {
  const auto& values = list.get_array();
  return std::any_of(values.begin(), values.end(), [&](const value& v) {
    return std::string_view(v.get_string().data(), v.get_string().size()) == text;
  });
}

bool HoldsTag(const value& list, std::string_view name, const Event& event) {
  for (const nostr::Tag tag : event.tags) {
    if (tag.size() >= 2 && tag.name() == name && Holds(list, tag.value())) return true;
  }
  return false;
}

bool HoldsKind(const value& list, const Event& event) {
  const auto& values = list.get_array();
  return std::any_of(values.begin(), values.end(),
                     [&](const value& v) { return v.to_number<uint64_t>() == event.kind; });
}

bool ReferenceMatches(const boost::json::object& filter, const Event& event) {
  for (const auto& [boost_key, condition] : filter) {
    const std::string_view key(boost_key.data(), boost_key.size());
    bool holds = true;
    if (key == "ids") holds = Holds(condition, event.id.ToHex());
    if (key == "authors") holds = Holds(condition, event.pubkey.ToHex());
    if (key == "kinds") holds = HoldsKind(condition, event);
    if (key == "since") holds = event.created_at >= condition.to_number<uint64_t>();
    if (key == "until") holds = event.created_at <= condition.to_number<uint64_t>();
    if (key.starts_with("#")) holds = HoldsTag(condition, key.substr(1), event);
    if (!holds) return false;
  }
  return true;
}

std::vector<Event> MakeEvents() {
  const auto key = nostr::SecretKey::FromSeed("author");
  const std::string hex(64, 'e');
  const auto with = [&](nostr::Kind kind, uint64_t at) { return nostr::EventBuilder(kind, at); };
  return {with(1, 1'700'000'000).Sign(key),
          with(0, 0).Tag({"t"}).Tag({""}).Sign(key),
          with(1621, 5).Tag({"e", hex}).Tag({"p", hex, "relay"}).Sign(key),
          with(30617, 1'700'000'001).Tag({"d", "x"}).Tag({"t", "a"}).Tag({"t", "b"}).Sign(key),
          with(65535, uint64_t{1} << 53).Tag({"t", ""}).Tag({"d", "\"\\\n\x01é"}).Sign(key),
          with(7, 9).Tag({"tt", "a"}).Tag({"x", "t\",\"a"}).Tag({"T", "a"}).Sign(key)};
}

// The event of the input's second line, if it is one, and some that conditions are likely to meet.
void CheckVerdicts(const nostr::Filter& filter, const boost::json::object& json,
                   const std::vector<Event>& events) {
  nostr::Filter without_time = filter;
  without_time.since.reset();
  without_time.until.reset();
  const storage::RowMatcher rows(without_time);
  for (const Event& event : events) {
    const bool matches = nostr::Matches(filter, event);
    FUZZ_CHECK(matches == ReferenceMatches(json, event));
    FUZZ_CHECK(!matches || !filter.MatchesNothing());
    const auto bytes = storage::EncodeRow(*nostr::MakeRecord(event), storage::Source::kDirect);
    FUZZ_CHECK(bytes.ok());
    const auto row = storage::RowView::Decode(*bytes);
    FUZZ_CHECK(row && rows.Matches(*row) == nostr::Matches(without_time, event));
  }
}

}  // namespace

FUZZ_TARGET(filter) {
  Input input(bytes);
  const std::string_view text = input.Line();
  const auto filter = nostr::ParseFilter(text);
  if (!filter.ok()) {
    FUZZ_CHECK(absl::IsInvalidArgument(filter.status()) || absl::IsUnimplemented(filter.status()));
    return;
  }
  const auto json = ReferenceParse(text);
  FUZZ_CHECK(json && json->is_object());
  const std::string canonical = nostr::FilterJson(*filter);
  const auto again = nostr::ParseFilter(canonical);
  FUZZ_CHECK(again.ok() && *again == *filter && nostr::FilterJson(*again) == canonical);
  nostr::Filter normal = *filter;
  normal.Normalize();
  FUZZ_CHECK(normal == *filter);

  static const auto* const made = new std::vector<Event>(MakeEvents());
  std::vector<Event> events = *made;
  if (const auto event = nostr::ParseEvent(input.Rest()); event.ok()) events.push_back(*event);
  CheckVerdicts(*filter, json->get_object(), events);
}

}  // namespace graspd::fuzz
