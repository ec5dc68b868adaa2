// Both sides, with any two sets and any frames: exactly the difference is found.
#include <set>
#include <vector>

#include "nostr/negentropy/reconciler.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/negentropy_items.h"

namespace graspd::fuzz {
namespace {

using Ids = std::set<nostr::EventId>;

// Two bits of the input for each item say who has it; a short input is used again and again.
struct Sides {
  std::vector<negentropy::Item> client, server;
  Ids have, need;

  Sides(size_t count, uint64_t span, std::string_view owners) {
    for (size_t i = 0; i < count && !owners.empty(); ++i) {
      const unsigned bits = static_cast<uint8_t>(owners[i / 4 % owners.size()]) >> (i % 4 * 2) & 3u;
      const negentropy::Item item = MakeItem(i, span);
      if (bits != 1) client.push_back(item);
      if (bits != 2) server.push_back(item);
      if (bits == 1) need.insert(item.id);
      if (bits == 2) have.insert(item.id);
    }
  }
};

size_t FrameOf(uint8_t choice) { return choice % 2 == 0 ? 0 : 4096 + choice * size_t{64}; }

}  // namespace

FUZZ_TARGET(negentropy_session) {
  Input input(bytes);
  const size_t count = input.Uint16() % 700;
  const uint64_t span = input.Uint16();
  const negentropy::ReconcileLimits client{.frame_bytes = FrameOf(input.Byte())};
  const negentropy::ReconcileLimits server{.frame_bytes = FrameOf(input.Byte())};
  const Sides sides(count, span, input.Rest());
  negentropy::Initiator initiator(std::make_shared<negentropy::SealedSet>(sides.client), client);
  const negentropy::Responder responder(std::make_shared<negentropy::SealedSet>(sides.server),
                                        server);
  Ids have, need;
  int rounds = 0;
  for (std::string message = initiator.Start(); !message.empty();) {
    FUZZ_CHECK(++rounds < 200);
    const auto reply = responder.Answer(message);
    FUZZ_CHECK(reply.ok());
    auto step = initiator.Continue(*reply);
    FUZZ_CHECK(step.ok());
    for (const auto& id : step->have) FUZZ_CHECK(have.insert(id).second);
    for (const auto& id : step->need) FUZZ_CHECK(need.insert(id).second);
    message = std::move(step->message);
  }
  FUZZ_CHECK(have == sides.have);
  FUZZ_CHECK(need == sides.need);
}

}  // namespace graspd::fuzz
