#include "services/transfer/exporter.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/status_macros.h"
#include "nostr/event.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::transfer {
namespace {

constexpr size_t kWindowItems = 50'000;
constexpr size_t kChunk = 100;                     // events read at once
constexpr uint64_t kLatest = (uint64_t{1} << 53);  // the latest created_at there is

// The phases in their order; everything else comes before the last.
const std::vector<std::vector<nostr::Kind>>& EarlyPhases() {
  static const std::vector<std::vector<nostr::Kind>> phases = {
      {nostr::kRepositoryAnnouncement},
      {nostr::kUserGraspList, nostr::kRepositoryState},
      {nostr::kPatch, nostr::kPullRequest, nostr::kIssue}};
  return phases;
}

// Has a phase of its own.
bool IsSpecial(nostr::Kind kind) {
  if (kind == nostr::kDeletionKind) return true;
  const auto& phases = EarlyPhases();
  return std::any_of(phases.begin(), phases.end(), [kind](const auto& kinds) {
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  });
}

using Rows = std::unordered_map<nostr::EventId, std::string>;

absl::StatusOr<Rows> ReadRows(storage::EventStore& store, std::span<const negentropy::Item> items,
                              uint64_t unix_now) {
  nostr::Filter by_id;
  by_id.ids.emplace();
  for (const auto& item : items) by_id.ids->push_back(item.id);
  by_id.Normalize();
  storage::QuerySpec spec;
  spec.filters = {std::move(by_id)};
  spec.unix_now = unix_now;
  Rows rows;
  storage::QueryCursor cursor;
  for (bool first = true;; first = false) {
    GRASPD_ASSIGN_OR_RETURN(auto page, store.Query(spec, first ? nullptr : &cursor));
    for (auto& row : page.rows) rows.emplace(row.id, std::move(row.json));
    if (page.done) return rows;
    cursor = std::move(page.cursor);
  }
}

}  // namespace

Exporter::Exporter(storage::EventStore& store, nostr::Filter filter, uint64_t unix_now, Sink sink)
    : store_(store), filter_(std::move(filter)), unix_now_(unix_now), sink_(std::move(sink)) {}

absl::Status Exporter::Run() {
  for (const auto& kinds : EarlyPhases()) GRASPD_RETURN_IF_ERROR(ExportKinds(kinds));
  GRASPD_RETURN_IF_ERROR(ExportTheRest());
  return ExportKinds({nostr::kDeletionKind});
}

absl::Status Exporter::ExportKinds(const std::vector<nostr::Kind>& kinds) {
  phase_ = filter_;
  skip_special_ = false;
  phase_.kinds.emplace();
  for (const nostr::Kind kind : kinds) {
    const bool wanted =
        !filter_.kinds || std::binary_search(filter_.kinds->begin(), filter_.kinds->end(), kind);
    if (wanted) phase_.kinds->push_back(kind);
  }
  if (phase_.kinds->empty()) return absl::OkStatus();
  return ExportRange(phase_.since.value_or(0), phase_.until.value_or(kLatest));
}

absl::Status Exporter::ExportTheRest() {
  phase_ = filter_;
  // Without kinds in the filter all rows are read and those of the special kinds passed over.
  skip_special_ = !filter_.kinds.has_value();
  if (phase_.kinds) {
    std::erase_if(*phase_.kinds, IsSpecial);
    if (phase_.kinds->empty()) return absl::OkStatus();
  }
  return ExportRange(phase_.since.value_or(0), phase_.until.value_or(kLatest));
}

// Halves the time until a window is small enough.
absl::Status Exporter::ExportRange(uint64_t since, uint64_t until) {
  if (since > until) return absl::OkStatus();
  phase_.since = since;
  phase_.until = until;
  const size_t most = since == until ? SIZE_MAX : kWindowItems;
  const auto items = store_.ListItems(phase_, unix_now_, most);
  if (absl::IsResourceExhausted(items.status())) {
    const uint64_t middle = since + (until - since) / 2;
    GRASPD_RETURN_IF_ERROR(ExportRange(since, middle));
    return ExportRange(middle + 1, until);
  }
  GRASPD_RETURN_IF_ERROR(items.status());
  return ExportItems(*items, until);
}

absl::Status Exporter::ExportItems(std::span<const negentropy::Item> items, uint64_t until) {
  while (!items.empty()) {
    const auto chunk = items.first(std::min(items.size(), kChunk));
    GRASPD_ASSIGN_OR_RETURN(const Rows rows, ReadRows(store_, chunk, unix_now_));
    for (const auto& item : chunk) {
      const auto row = rows.find(item.id);
      // Gone since it was listed. What has replaced it comes later, or in the same second if its id
      // is lower: the list is made anew from there.
      if (row == rows.end()) return ExportRange(item.created_at, until);
      GRASPD_RETURN_IF_ERROR(Emit(item, row->second));
    }
    items = items.subspan(chunk.size());
  }
  return absl::OkStatus();
}

absl::Status Exporter::Emit(const negentropy::Item& item, std::string_view json) {
  if (item.created_at != second_) exported_in_second_.clear();
  second_ = item.created_at;
  if (!exported_in_second_.insert(item.id).second) return absl::OkStatus();
  if (skip_special_) {
    GRASPD_ASSIGN_OR_RETURN(const auto event, nostr::ParseEvent(json));
    if (IsSpecial(event.kind)) return absl::OkStatus();
  }
  ++events_;
  return sink_(json);
}

}  // namespace graspd::transfer
