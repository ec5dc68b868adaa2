// What LMDB holds: any bytes are read without harm, and what is written is read back.
#include <algorithm>
#include <functional>
#include <string>

#include "nostr/event.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/row.h"
#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {
namespace {

using namespace storage;  // NOLINT: all of the codec

// Decodable bytes say the same when they are written again.
template <typename Record>
void CheckRecord(std::string_view bytes) {
  const auto record = Record::Decode(bytes);
  if (!record) return;
  const std::string encoded = record->Encode();
  const auto again = Record::Decode(encoded);
  FUZZ_CHECK(again && again->Encode() == encoded);
}

void CheckRowBytes(std::string_view bytes) {
  const auto row = RowView::Decode(bytes);
  if (!row) return;
  FUZZ_CHECK(row->signature.size() == nostr::Signature::kSize);
  FUZZ_CHECK(row->Json().ends_with(std::string(row->body) + ",\"sig\":\"" +
                                   row->Json().substr(row->Json().size() - 130)));
  (void)row->TagsText();
  nostr::Filter filter;
  filter.tags['t'] = {"a", "b"};
  (void)RowMatcher(filter).Matches(*row);
}

void CheckEvent(const nostr::Event& event, Source source) {
  const auto record = nostr::MakeRecord(event);
  const auto bytes = EncodeRow(*record, source);
  FUZZ_CHECK(bytes.ok());
  const auto row = RowView::Decode(*bytes);
  FUZZ_CHECK(row && row->Json() == record->json && row->source == source);
  FUZZ_CHECK(row->id == event.id && row->author == event.pubkey && row->kind == event.kind &&
             row->created_at == event.created_at);
  // Rows are not cut short without notice, as far as the fixed fields go.
  for (size_t size = 0; size < bytes->size(); ++size) CheckRowBytes(bytes->substr(0, size));
  // Sorted and without duplicates.
  const auto prefixes = TagPrefixes(event.tags, TagHasher());
  FUZZ_CHECK(std::adjacent_find(prefixes.begin(), prefixes.end(), std::greater_equal<>()) ==
             prefixes.end());
}

// Keys sort as events are served.
void CheckOrder(Input& input) {
  uint64_t times[2];
  nostr::EventId ids[2];
  for (int i = 0; i < 2; ++i) {
    times[i] = 0;
    for (int byte = 0; byte < 8; ++byte) times[i] = times[i] << 8 | input.Byte();
    const std::string_view raw = input.Bytes(nostr::EventId::kSize);
    std::copy(raw.begin(), raw.end(), ids[i].bytes.begin());
  }
  const std::string a = TimeIdKey(times[0], ids[0]), b = TimeIdKey(times[1], ids[1]);
  FUZZ_CHECK(CreatedAtOf(a) == times[0] && IdOf(a) == ids[0]);
  FUZZ_CHECK((a < b) == nostr::ServedBefore(times[0], ids[0], times[1], ids[1]));
}

}  // namespace

FUZZ_TARGET(lmdb_codec) {
  Input input(bytes);
  const uint8_t what = input.Byte();
  if (what == 'o') return CheckOrder(input);
  const std::string_view rest = input.Rest();
  if (what == '{') {
    if (const auto event = nostr::ParseEvent(bytes); event.ok()) {
      CheckEvent(*event, static_cast<Source>(rest.size() % 7));
    }
    return;
  }
  CheckRecord<IndexValue>(rest);
  CheckRecord<AddressRecord>(rest);
  CheckRecord<RemovalRecord>(rest);
  CheckRowBytes(rest);
}

}  // namespace graspd::fuzz
