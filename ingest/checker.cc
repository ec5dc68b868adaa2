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

struct Answer {
  const char* reason;  // for metrics
  Code code;
  const char* message;  // of a limit: said where its value is known
  bool forged = false;
};

constexpr std::array<Answer, kCheckRefusals> kAnswers = {{
    {"too_large", Code::kInvalid, ""},
    {"too_many_tags", Code::kInvalid, ""},
    {"too_far_ahead", Code::kInvalid, ""},
    {"auth_kind", Code::kInvalid, "invalid: kind 22242 belongs in an AUTH message"},
    {"wrong_id", Code::kInvalid, nostr::kWrongIdMessage, true},
    {"bad_signature", Code::kInvalid, nostr::kBadSignatureMessage, true},
    {"protected", Code::kRefused, "restricted: a protected event comes from its author only"},
    {"reposts_protected", Code::kRefused, "blocked: a repost must not hold a protected event"},
}};

CheckRefusal RefusalFor(nostr::EventLimit limit) {
  switch (limit) {
    case nostr::EventLimit::kBytes:
      return CheckRefusal::kTooLarge;
    case nostr::EventLimit::kTags:
      return CheckRefusal::kTooManyTags;
    case nostr::EventLimit::kCreatedAt:
      break;
  }
  return CheckRefusal::kTooFarAhead;
}

}  // namespace

Checker::Checker(storage::EventStore& store, const base::Clock& clock, const nostr::Limits& limits,
                 base::Metrics& metrics)
    : store_(store), clock_(clock), limits_(limits) {
  for (size_t i = 0; i < kCheckRefusals; ++i) {
    refusals_[i] = &metrics.MakeCounter("graspd_ingest_check_refusals_total",
                                        "Events refused for what they are, by the reason.",
                                        {{"reason", kAnswers[i].reason}});
  }
}

Result Checker::Refuse(const nostr::EventId& id, CheckRefusal why, std::string message) const {
  const auto index = static_cast<size_t>(why);
  refusals_[index]->Increment();
  const Answer& answer = kAnswers[index];
  if (message.empty()) message = answer.message;
  return {id, answer.code, std::move(message), answer.forged};
}

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
  if (const auto limit =
          nostr::ExceededLimit(event, record.json.size(), limits_, clock_.UnixNow())) {
    return Refuse(event.id, RefusalFor(*limit), nostr::LimitMessage(*limit, limits_));
  }
  if (event.kind == nostr::kAuthKind) return Refuse(event.id, CheckRefusal::kAuthKind);
  if (computed != event.id) return Refuse(event.id, CheckRefusal::kWrongId);
  // Behind the id, so that what is remembered by it is this event.
  if (nostr::IsProtected(event) && IsRemote(source)) {
    return Refuse(event.id, CheckRefusal::kProtected);
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
  if (!verifier.Verify(event)) return Refuse(event.id, CheckRefusal::kBadSignature);
  if (nostr::EmbedsProtected(event)) return Refuse(event.id, CheckRefusal::kReposts);
  return {event.id, Code::kStored, ""};
}

}  // namespace graspd::ingest
