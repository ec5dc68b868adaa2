#include "ingest/checker.h"

#include <utility>

#include "nostr/keys.h"
#include "nostr/rules.h"

namespace graspd::ingest {

Checker::Checked Checker::Check(nostr::Event event) const {
  Checked out;
  nostr::EventPtr record = nostr::MakeRecord(std::move(event));
  out.result = Verdict(*record);
  if (out.result.code == Code::kStored) out.event = std::move(record);
  return out;
}

// Cheap refusals first; kStored stands for "nothing against it so far".
Result Checker::Verdict(const nostr::EventRecord& record) const {
  const nostr::Event& event = record.event;
  const auto limits = nostr::CheckEventLimits(event, record.json.size(), limits_, clock_.UnixNow());
  if (!limits.ok()) return {event.id, Code::kInvalid, std::string(limits.message())};
  if (event.kind == nostr::kAuthKind) {
    return {event.id, Code::kInvalid, "invalid: kind 22242 belongs in an AUTH message"};
  }
  // Only its authenticated author may publish it (NIP-70), and this relay authenticates nobody:
  // "auth-required:" would make clients wait for a challenge that never comes.
  if (nostr::IsProtected(event)) {
    return {event.id, Code::kRefused, "blocked: protected events are not taken here"};
  }
  if (nostr::ComputeId(event) != event.id) {
    return {event.id, Code::kInvalid, "invalid: id is not the hash of the event"};
  }
  // The id covers every field but the signature, so with the same signature as well it is byte for
  // byte what was verified before. A failing store is the writer's to report.
  const auto stored = store_.FindSignature(event.id);
  if (stored.ok() && *stored == event.sig) {
    return {event.id, Code::kDuplicate, "duplicate: already have this event"};
  }
  if (!nostr::VerifySignature(event)) {
    return {event.id, Code::kInvalid, "invalid: bad signature"};
  }
  return {event.id, Code::kStored, ""};
}

}  // namespace graspd::ingest
