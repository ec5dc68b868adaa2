// The side that answers, with any message: a well-formed answer within the frame, the same each
// time.
#include "nostr/negentropy/reconciler.h"
#include "nostr/negentropy/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/negentropy_items.h"

namespace graspd::fuzz {
namespace {

constexpr size_t kMinFrame = 4096;

void CheckWellFormed(std::string_view message, const negentropy::ItemView& set) {
  FUZZ_CHECK(!message.empty() && message[0] == negentropy::kProtocolVersion);
  negentropy::RangeReader reader(message.substr(1));
  negentropy::Item last;
  while (!reader.done()) {
    const auto range = reader.Next();
    FUZZ_CHECK(range.ok());
    FUZZ_CHECK(!(range->upper.item < last));
    last = range->upper.item;
    for (size_t at = 0; at < range->ids.size(); at += nostr::EventId::kSize) {
      const std::string_view id = range->ids.substr(at, nostr::EventId::kSize);
      bool ours = false;
      for (size_t i = 0; i < set.size() && !ours; ++i) ours = set.At(i).id.view() == id;
      FUZZ_CHECK(ours);
    }
  }
}

}  // namespace

FUZZ_TARGET(negentropy_responder) {
  Input input(bytes);
  const auto set = TakeSet(input, 1);
  negentropy::ReconcileLimits limits;
  limits.frame_bytes = input.Byte() % 2 == 0 ? 0 : kMinFrame;
  limits.max_message_bytes = 64 * 1024;
  const negentropy::Responder responder(set, limits);
  const std::string_view message = input.Rest();
  const auto answer = responder.Answer(message);
  if (!answer.ok()) {
    FUZZ_CHECK(absl::IsInvalidArgument(answer.status()));
    return;
  }
  FUZZ_CHECK(message.size() <= limits.max_message_bytes);
  FUZZ_CHECK(limits.frame_bytes == 0 || answer->size() <= limits.frame_bytes);
  CheckWellFormed(*answer, *set);
  FUZZ_CHECK(*responder.Answer(message) == *answer);
}

}  // namespace graspd::fuzz
