// The side that asks, with any replies: it ends, and what it reports is what it may report.
#include <set>

#include "nostr/negentropy/reconciler.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/negentropy_items.h"

namespace graspd::fuzz {

FUZZ_TARGET(negentropy_initiator) {
  constexpr size_t kFrame = 4096, kMaxIds = 500;
  Input input(bytes);
  const auto set = TakeSet(input, 1);
  std::set<nostr::EventId> ours, have, need;
  for (size_t i = 0; i < set->size(); ++i) ours.insert(set->At(i).id);
  negentropy::Initiator initiator(set, {.frame_bytes = kFrame}, kMaxIds);
  FUZZ_CHECK(initiator.Start().size() <= kFrame);
  while (!input.empty()) {
    const auto step = initiator.Continue(input.Bytes(input.Uint16()));
    if (!step.ok()) {
      const auto again = initiator.Continue("\x61");  // after an error the session is over
      FUZZ_CHECK(absl::IsFailedPrecondition(again.status()));
      return;
    }
    FUZZ_CHECK(step->message.size() <= kFrame);
    for (const auto& id : step->have) FUZZ_CHECK(ours.contains(id) && have.insert(id).second);
    for (const auto& id : step->need) FUZZ_CHECK(need.insert(id).second);
    FUZZ_CHECK(have.size() + need.size() <= kMaxIds);
    if (step->message.empty()) return;
  }
}

}  // namespace graspd::fuzz
