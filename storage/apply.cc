#include "storage/apply.h"

#include <string>
#include <unordered_set>
#include <utility>

#include "base/status_macros.h"

namespace graspd::storage {
namespace {

using Stored = WriteTransaction::Stored;

bool ExpiredAt(const Stored& stored, uint64_t unix_now) {
  return stored.expiration && *stored.expiration <= unix_now;
}

absl::Status RemoveStored(const Stored& stored, Removal reason, Commit& commit,
                          WriteTransaction& txn) {
  GRASPD_RETURN_IF_ERROR(txn.Remove(stored.id, reason, commit.position));
  if (reason == Removal::kDeleted) GRASPD_RETURN_IF_ERROR(txn.MarkGone(stored.id));
  Change change;
  change.type = Change::Type::kRemoved;
  change.id = stored.id;
  change.created_at = stored.created_at;
  change.kind = stored.kind;
  change.reason = reason;
  commit.changes.push_back(std::move(change));
  return absl::OkStatus();
}

class BatchApplier {
 public:
  BatchApplier(Judge& judge, uint64_t unix_now, FeedPosition position, WriteTransaction& txn)
      : judge_(judge), unix_now_(unix_now), txn_(txn) {
    commit_.position = position;
  }

  absl::StatusOr<WriteResult> Apply(const WriteRequest& request);
  Commit TakeCommit() { return std::move(commit_); }

 private:
  absl::Status Take(const Stored& stored, Removal reason) {
    return RemoveStored(stored, reason, commit_, txn_);
  }
  absl::StatusOr<bool> IsDuplicate(const nostr::Event& event) const;
  absl::StatusOr<bool> RefuseIfDeleted(const nostr::Event& event);
  absl::StatusOr<bool> IsOlder(const nostr::Event& event);
  absl::Status Store(const WriteRequest& request);
  absl::Status ApplyDeletion(const nostr::Event& deletion);
  absl::Status Supersede(const nostr::Address& address, const Version& by);
  void NoteAdded(const WriteRequest& request, bool ephemeral);

  Judge& judge_;
  const uint64_t unix_now_;
  WriteTransaction& txn_;
  Commit commit_;
  std::unordered_set<nostr::EventId> ephemeral_;  // accepted in this batch
};

absl::StatusOr<WriteResult> BatchApplier::Apply(const WriteRequest& request) {
  const nostr::Event& event = request.event->event;
  if (event.kind == nostr::kAuthKind) {
    return WriteResult{Outcome::kRefused, "invalid: kind 22242 is for AUTH and is never stored"};
  }
  GRASPD_ASSIGN_OR_RETURN(const bool duplicate, IsDuplicate(event));
  if (duplicate) return WriteResult{Outcome::kDuplicate, ""};
  if (nostr::IsExpired(event, unix_now_)) return WriteResult{Outcome::kExpired, ""};
  GRASPD_ASSIGN_OR_RETURN(const bool deleted, RefuseIfDeleted(event));
  if (deleted) return WriteResult{Outcome::kDeleted, ""};
  GRASPD_ASSIGN_OR_RETURN(const bool older, IsOlder(event));
  if (older) return WriteResult{Outcome::kOlder, ""};

  GRASPD_ASSIGN_OR_RETURN(Judge::Verdict verdict, judge_.Decide(event, request.source, txn_));
  if (!verdict.accept) return WriteResult{Outcome::kRefused, std::move(verdict.message)};

  if (nostr::ClassOf(event.kind) == nostr::KindClass::kEphemeral) {
    ephemeral_.insert(event.id);
    NoteAdded(request, true);
  } else {
    GRASPD_RETURN_IF_ERROR(Store(request));
  }
  return WriteResult{};
}

absl::StatusOr<bool> BatchApplier::IsDuplicate(const nostr::Event& event) const {
  if (ephemeral_.contains(event.id)) return true;
  GRASPD_ASSIGN_OR_RETURN(const auto stored, txn_.FindKind(event.id));
  return stored.has_value();
}

// A version that arrives after its own deletion still counts as the newest: it takes older ones
// away and keeps them away, as it would have done by arriving before.
absl::StatusOr<bool> BatchApplier::RefuseIfDeleted(const nostr::Event& event) {
  if (event.kind == nostr::kDeletionKind) return false;
  const std::optional<nostr::Address> address = nostr::AddressOf(event);
  GRASPD_ASSIGN_OR_RETURN(const bool by_id, txn_.HasIdTombstone(event.id, event.pubkey));
  bool by_address = false;
  if (address) {
    GRASPD_ASSIGN_OR_RETURN(const auto until, txn_.AddressTombstone(*address));
    by_address = until && event.created_at <= *until;
  }
  if (!by_id && !by_address) return false;
  GRASPD_RETURN_IF_ERROR(txn_.MarkGone(event.id));
  if (by_id && address) {
    const Version version{event.created_at, event.id};
    GRASPD_RETURN_IF_ERROR(txn_.RaiseAddressFloor(*address, version));
    GRASPD_RETURN_IF_ERROR(Supersede(*address, version));
  }
  return true;
}

absl::StatusOr<bool> BatchApplier::IsOlder(const nostr::Event& event) {
  const std::optional<nostr::Address> address = nostr::AddressOf(event);
  if (!address) return false;
  GRASPD_ASSIGN_OR_RETURN(const auto floor, txn_.AddressFloor(*address));
  if (floor && !nostr::Supersedes(event.created_at, event.id, floor->created_at, floor->id)) {
    return true;
  }
  GRASPD_ASSIGN_OR_RETURN(const auto current, txn_.FindAddress(*address));
  if (!current) return false;
  // Not swept yet, but gone: the verdict must not depend on when the sweep comes round.
  if (ExpiredAt(*current, unix_now_)) return false;
  return !nostr::Supersedes(event.created_at, event.id, current->created_at, current->id);
}

absl::Status BatchApplier::Store(const WriteRequest& request) {
  const nostr::Event& event = request.event->event;
  std::optional<Stored> previous;
  if (const auto address = nostr::AddressOf(event)) {
    GRASPD_ASSIGN_OR_RETURN(previous, txn_.FindAddress(*address));
  }
  GRASPD_RETURN_IF_ERROR(txn_.Insert(*request.event, request.source, commit_.position));
  NoteAdded(request, false);
  if (previous) {
    GRASPD_RETURN_IF_ERROR(
        Take(*previous, ExpiredAt(*previous, unix_now_) ? Removal::kExpired : Removal::kReplaced));
  }
  if (event.kind == nostr::kDeletionKind) return ApplyDeletion(event);
  return absl::OkStatus();
}

absl::Status BatchApplier::ApplyDeletion(const nostr::Event& deletion) {
  const nostr::DeletionTargets targets = nostr::DeletionTargetsOf(deletion);
  for (const nostr::EventId& id : targets.ids) {
    GRASPD_RETURN_IF_ERROR(txn_.AddIdTombstone(id, deletion.pubkey));
    GRASPD_ASSIGN_OR_RETURN(const auto stored, txn_.Find(id));
    if (!stored || stored->author != deletion.pubkey || stored->kind == nostr::kDeletionKind) {
      continue;
    }
    GRASPD_RETURN_IF_ERROR(Take(*stored, Removal::kDeleted));
    if (stored->address) {
      GRASPD_RETURN_IF_ERROR(
          txn_.RaiseAddressFloor(*stored->address, {stored->created_at, stored->id}));
    }
  }
  for (const nostr::Address& address : targets.addresses) {
    GRASPD_RETURN_IF_ERROR(txn_.AddAddressTombstone(address, deletion.created_at));
    GRASPD_ASSIGN_OR_RETURN(const auto stored, txn_.FindAddress(address));
    if (stored && stored->created_at <= deletion.created_at) {
      GRASPD_RETURN_IF_ERROR(Take(*stored, Removal::kDeleted));
    }
  }
  return absl::OkStatus();
}

absl::Status BatchApplier::Supersede(const nostr::Address& address, const Version& by) {
  GRASPD_ASSIGN_OR_RETURN(const auto current, txn_.FindAddress(address));
  if (!current || !nostr::Supersedes(by.created_at, by.id, current->created_at, current->id)) {
    return absl::OkStatus();
  }
  return Take(*current, Removal::kReplaced);
}

void BatchApplier::NoteAdded(const WriteRequest& request, bool ephemeral) {
  const nostr::Event& event = request.event->event;
  Change change;
  change.event = request.event;
  change.source = request.source;
  change.id = event.id;
  change.created_at = event.created_at;
  change.kind = event.kind;
  change.ephemeral = ephemeral;
  commit_.changes.push_back(std::move(change));
}

}  // namespace

absl::StatusOr<BatchResult> ApplyBatch(std::span<const WriteRequest> batch, Judge& judge,
                                       uint64_t unix_now, FeedPosition position,
                                       WriteTransaction& txn) {
  BatchApplier applier(judge, unix_now, position, txn);
  BatchResult out;
  out.results.reserve(batch.size());
  for (const WriteRequest& request : batch) {
    GRASPD_ASSIGN_OR_RETURN(WriteResult result, applier.Apply(request));
    out.results.push_back(std::move(result));
  }
  out.commit = applier.TakeCommit();
  return out;
}

absl::StatusOr<Commit> RemoveAll(std::span<const WriteTransaction::Stored> events, Removal reason,
                                 FeedPosition position, WriteTransaction& txn) {
  Commit commit{position, {}};
  for (const Stored& stored : events) {
    GRASPD_RETURN_IF_ERROR(RemoveStored(stored, reason, commit, txn));
  }
  return commit;
}

}  // namespace graspd::storage
