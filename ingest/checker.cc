#include "ingest/checker.h"

#include <utility>

#include "nostr/keys.h"
#include "nostr/rules.h"

namespace graspd::ingest {
namespace {

// A client's session lets only the author's own protected events through; a file is the operator's.
bool IsRemote(storage::Source source) {
  return source != storage::Source::kDirect && source != storage::Source::kImport;
}

}  // namespace

Checker::Checked Checker::Check(nostr::Event event, storage::Source source, Lookup lookup) const {
  Checked out;
  nostr::EventId computed;
  nostr::EventPtr record = nostr::MakeRecord(std::move(event), computed);
  out.result = Verdict(*record, computed, source, lookup);
  if (out.result.code == Code::kStored) out.event = std::move(record);
  return out;
}

// Cheap refusals first; kStored stands for "nothing against it so far".
Result Checker::Verdict(const nostr::EventRecord& record, const nostr::EventId& computed,
                        storage::Source source, Lookup lookup) const {
  const nostr::Event& event = record.event;
  const auto limits = nostr::CheckEventLimits(event, record.json.size(), limits_, clock_.UnixNow());
  if (!limits.ok()) return {event.id, Code::kInvalid, std::string(limits.message())};
  if (event.kind == nostr::kAuthKind) {
    return {event.id, Code::kInvalid, "invalid: kind 22242 belongs in an AUTH message"};
  }
  if (computed != event.id) {
    return {event.id, Code::kInvalid, "invalid: id is not the hash of the event", true};
  }
  // Behind the id, so that what is remembered by it is this event.
  if (nostr::IsProtected(event) && IsRemote(source)) {
    return {event.id, Code::kRefused, "restricted: a protected event comes from its author only"};
  }
  // The id covers every field but the signature, so with the same signature as well it is byte for
  // byte what was verified before. A failing store is the writer's to report.
  if (lookup == Lookup::kNeeded) {
    const auto stored = store_.FindSignature(event.id);
    if (stored.ok() && *stored == event.sig) {
      // Expired but not swept yet: the answer must not depend on when that happens.
      if (nostr::IsExpired(event, clock_.UnixNow())) {
        return {event.id, Code::kExpired, std::string(kExpiredMessage)};
      }
      return {event.id, Code::kDuplicate, "duplicate: already have this event"};
    }
  }
  thread_local nostr::SignatureVerifier verifier;
  if (!verifier.Verify(event)) {
    return {event.id, Code::kInvalid, "invalid: bad signature", true};
  }
  if (nostr::EmbedsProtected(event)) {
    return {event.id, Code::kRefused, "blocked: a repost must not hold a protected event"};
  }
  return {event.id, Code::kStored, ""};
}

}  // namespace graspd::ingest
