#include "tests/conformance/lmdb_consistency.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include "base/status_macros.h"
#include "nostr/event.h"
#include "nostr/rules.h"
#include "storage/lmdb/env.h"
#include "storage/lmdb/indexer.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/pending.h"
#include "storage/lmdb/row.h"
#include "storage/lmdb/txn.h"

namespace graspd::storage {
namespace {

constexpr std::pair<Index, const char*> kIndexes[] = {{Index::kIds, "ids"},
                                                      {Index::kTime, "by_time"},
                                                      {Index::kKind, "by_kind"},
                                                      {Index::kAuthor, "by_author"},
                                                      {Index::kTag, "by_tag"}};

class Checker {
 public:
  explicit Checker(const Txn& txn) : txn_(txn), tables_(txn.tables()) {}

  absl::Status Check() {
    GRASPD_RETURN_IF_ERROR(ForEach(tables_.events, [this](auto key, auto value) {
      return CheckEvent(ChangeNumber(GetUint64(key)), value);
    }));
    // Everything expected was found; equal numbers mean that there is nothing else.
    for (const auto& [index, name] : kIndexes) {
      uint64_t entries = 0;
      GRASPD_RETURN_IF_ERROR(ForEach(TableOf(tables_, index), [&](auto, auto value) {
        const bool gone = index == Index::kIds && GetUint64(value) == 0;
        entries += gone ? 0 : 1;
        return absl::OkStatus();
      }));
      if (entries != in_table_[index]) return Wrong(name, "has entries without an event");
    }
    GRASPD_ASSIGN_OR_RETURN(const uint64_t expirations, txn_.Entries(tables_.expirations));
    if (expirations != expiring_) return Wrong("expirations", "has entries without an event");
    return CheckAddresses();
  }

 private:
  using Visit = std::function<absl::Status(std::string_view key, std::string_view value)>;

  static absl::Status Wrong(std::string_view table, std::string_view what) {
    return absl::DataLossError(std::string(table) + " " + std::string(what));
  }

  absl::Status ForEach(MDB_dbi table, const Visit& visit) {
    GRASPD_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(txn_, table));
    GRASPD_ASSIGN_OR_RETURN(bool found, cursor.Seek(""));
    while (found) {
      GRASPD_RETURN_IF_ERROR(visit(cursor.key(), cursor.value()));
      GRASPD_ASSIGN_OR_RETURN(found, cursor.Next());
    }
    return absl::OkStatus();
  }

  absl::Status CheckEvent(ChangeNumber change, std::string_view bytes) {
    const auto row = RowView::Decode(bytes);
    if (!row) return Wrong("events", "has a row that cannot be read");
    GRASPD_ASSIGN_OR_RETURN(const nostr::Event event, nostr::ParseEvent(row->Json()));
    for (const IndexEntry& entry : IndexEntriesOf(event, change, txn_.env().tag_hasher())) {
      GRASPD_RETURN_IF_ERROR(CheckEntry(entry, event.id));
    }
    GRASPD_RETURN_IF_ERROR(CheckExpiration(event, change));
    return CheckAddress(event, change);
  }

  // In its table, or on the way there.
  absl::Status CheckEntry(const IndexEntry& entry, const nostr::EventId& id) {
    const ChangeNumber change(entry.change);
    const bool of_ids = entry.index == Index::kIds;
    GRASPD_ASSIGN_OR_RETURN(const auto found,
                            txn_.Get(TableOf(tables_, entry.index), IndexKey(entry)));
    if (found && *found == (of_ids ? change.Key() : entry.value().Encode())) {
      ++in_table_[entry.index];
      return absl::OkStatus();
    }
    const auto name = kIndexes[static_cast<size_t>(entry.index)].second;
    if (found) return Wrong(name, "says something else of an event");
    bool pending = of_ids && txn_.pending().FindId(id) == change;
    if (!of_ids) {
      txn_.pending().FindRanges(
          entry.index, entry.prefix, entry.place_view(), [&](Pending::Range range) {
            pending |= range.at != range.end && range.at->place == entry.place &&
                       range.at->change == entry.change;
          });
    }
    return pending ? absl::OkStatus() : Wrong(name, "lacks an event");
  }

  absl::Status CheckExpiration(const nostr::Event& event, ChangeNumber change) {
    const auto expiration = nostr::ExpirationOf(event);
    if (!expiration) return absl::OkStatus();
    ++expiring_;
    GRASPD_ASSIGN_OR_RETURN(const auto found,
                            txn_.Get(tables_.expirations, ExpirationKey(*expiration, change)));
    return found == event.id.view() ? absl::OkStatus() : Wrong("expirations", "lacks an event");
  }

  absl::Status CheckAddress(const nostr::Event& event, ChangeNumber change) {
    const auto address = nostr::AddressOf(event);
    if (!address) return absl::OkStatus();
    ++addressable_;
    GRASPD_ASSIGN_OR_RETURN(const auto found, txn_.Get(tables_.addresses, AddressKey(*address)));
    const auto record = found ? AddressRecord::Decode(*found) : std::nullopt;
    if (record && record->current.value() == change.value()) return absl::OkStatus();
    return Wrong("addresses", "does not name the stored version");
  }

  absl::Status CheckAddresses() {
    uint64_t stored = 0;
    GRASPD_RETURN_IF_ERROR(ForEach(tables_.addresses, [&](auto, auto value) {
      const auto record = AddressRecord::Decode(value);
      if (!record) return Wrong("addresses", "has a record that cannot be read");
      stored += record->current.value() == 0 ? 0 : 1;
      return absl::OkStatus();
    }));
    return stored == addressable_ ? absl::OkStatus()
                                  : Wrong("addresses", "names versions that are not stored");
  }

  const Txn& txn_;
  const Tables& tables_;
  std::map<Index, uint64_t> in_table_;  // entries that belong to an event
  uint64_t expiring_ = 0, addressable_ = 0;
};

}  // namespace

absl::Status CheckConsistency(const std::string& directory) {
  GRASPD_ASSIGN_OR_RETURN(const auto env, Env::Open({.directory = directory, .read_only = true}));
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*env));
  return Checker(txn).Check();
}

}  // namespace graspd::storage
