#include "bench/load/repository_events.h"

#include <fmt/format.h>

#include <thread>

#include "nostr/event_builder.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::bench {
namespace {

constexpr size_t kPeople = 200;

}  // namespace

RepositoryMaker::RepositoryMaker(uint64_t seed, uint64_t base_time) : base_time_(base_time) {
  for (size_t i = 0; i < kPeople; ++i) {
    keys_.push_back(nostr::SecretKey::FromSeed(fmt::format("graspd-bench person {} {}", seed, i)));
  }
}

nostr::Event RepositoryMaker::Announcement(size_t repository,
                                           const std::vector<std::string>& relays,
                                           uint64_t version) const {
  nostr::Event event;
  event.kind = nostr::kRepositoryAnnouncement;
  event.created_at = base_time_ + version;
  event.pubkey = KeyOf(repository).public_key();
  event.tags.Add({"d", fmt::format("repository-{}", repository)});
  event.tags.AddElement("relays");
  for (const auto& relay : relays) event.tags.AddElement(relay);
  event.tags.EndTag();
  event.id = nostr::ComputeId(event);
  event.sig = KeyOf(repository).Sign(event.id.bytes);
  return event;
}

nostr::Event RepositoryMaker::Issue(size_t repository, size_t number) const {
  const auto address = fmt::format("{}:{}:repository-{}", nostr::kRepositoryAnnouncement,
                                   KeyOf(repository).public_key().ToHex(), repository);
  return nostr::EventBuilder(nostr::kIssue, base_time_ + number)
      .Tag({"a", address})
      .Tag({"p", KeyOf(repository).public_key().ToHex()})
      .Tag({"subject", fmt::format("issue {}", number)})
      .Content("Something does not work as it should.")
      .Sign(KeyOf(number));
}

nostr::Event RepositoryMaker::Comment(size_t repository, const nostr::EventId& issue,
                                      size_t number) const {
  const std::string root = issue.ToHex();
  return nostr::EventBuilder(nostr::kComment, base_time_ + number)
      .Tag({"E", root})
      .Tag({"K", "1621"})
      .Tag({"e", root})
      .Tag({"k", "1621"})
      .Content(fmt::format("comment {} in repository {}", number, repository))
      .Sign(KeyOf(number));
}

std::vector<nostr::Event> RepositoryMaker::Events(size_t repositories, size_t issues,
                                                  size_t count) const {
  std::vector<nostr::Event> events(repositories * count);
  const auto make = [&](size_t begin) {
    for (size_t r = begin; r < repositories; r += 2) {
      nostr::Event* const first = &events[r * count];
      for (size_t i = 0; i < count; ++i) {
        first[i] = i < issues ? Issue(r, i) : Comment(r, first[i % issues].id, i);
      }
    }
  };
  std::thread other([&] { make(1); });
  make(0);
  other.join();
  return events;
}

}  // namespace graspd::bench
