#include "tools/demo/repository.h"

#include <array>
#include <string>

#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip19.h"
#include "nostr/nip34.h"
#include "nostr/rules.h"

namespace graspd::demo {
namespace {

constexpr uint64_t kBegin = 1'767'225'600;  // 2026-01-01
constexpr uint64_t kHour = 3600;
constexpr int kIssues = 24, kPatches = 18, kPullRequests = 10, kCommentsPerRoot = 3;
constexpr char kIdentifier[] = "lighthouse";
constexpr std::array kTopics = {"parser", "storage", "CLI", "docs", "networking", "tests"};

class Generator {
 public:
  Repository Make(const std::vector<std::string>& relays,
                  const std::vector<std::string>& clone_hosts) {
    Repository repository{.announcement = Announce(relays, clone_hosts), .events = {}};
    address_ = nostr::AddressOf(repository.announcement)->ToString();
    events_ = &repository.events;
    Add(State());
    for (int i = 0; i < kIssues; ++i) Thread(Issue(i), i % 3 == 0, nostr::kStatusClosed);
    for (int i = 0; i < kPatches; ++i) Thread(Patch(i), i % 2 == 0, nostr::kStatusApplied);
    for (int i = 0; i < kPullRequests; ++i) {
      const auto request = PullRequest(i);
      Thread(request, i % 2 == 1, nostr::kStatusApplied);
      if (i % 3 == 0) Add(PullRequestUpdate(request, i));
    }
    return repository;
  }

 private:
  using Event = nostr::Event;
  using Builder = nostr::EventBuilder;

  // Time goes on by an hour with each event, so that no two share a second.
  Builder Next(nostr::Kind kind) { return Builder(kind, kBegin + kHour * ++hours_); }
  const nostr::SecretKey& Someone() {
    return people_[static_cast<size_t>(hours_) % people_.size()];
  }
  void Add(Event event) { events_->push_back(std::move(event)); }
  static std::string Commit(std::string_view what, int i) {
    return base::HexEncode(nostr::Sha256(std::string(what) + std::to_string(i))).substr(0, 40);
  }
  static std::string Topic(int i) { return kTopics[static_cast<size_t>(i) % kTopics.size()]; }

  Event Announce(const std::vector<std::string>& relays,
                 const std::vector<std::string>& clone_hosts) {
    auto draft = Next(nostr::kRepositoryAnnouncement);
    draft.Tag({"d", kIdentifier}).Tag({"name", "Lighthouse"});
    draft.Tag({"description", "A generated repository that shows proactive sync"});
    for (const auto& host : clone_hosts) {
      draft.Tag({"clone", "http://" + host + "/" + nostr::EncodeNpub(owner_.public_key()) + "/" +
                              kIdentifier + ".git"});
    }
    for (const auto& relay : relays) draft.Tag({"relays", relay});
    draft.Tag({"maintainers", people_[0].public_key().ToHex()});
    return draft.Sign(owner_);
  }

  Event State() {
    return Next(nostr::kRepositoryState)
        .Tag({"d", kIdentifier})
        .Tag({"refs/heads/main", Commit("main", 0)})
        .Tag({"HEAD", "ref: refs/heads/main"})
        .Sign(owner_);
  }

  Event Issue(int i) {
    return Next(nostr::kIssue)
        .Tag({"a", address_})
        .Tag({"p", owner_.public_key().ToHex()})
        .Tag({"subject", "The " + Topic(i) + " needs attention (" + std::to_string(i + 1) + ")"})
        .Content("Steps to reproduce, what I expected, and what happened instead.")
        .Sign(Someone());
  }

  Event Patch(int i) {
    const std::string commit = Commit("patch", i);
    return Next(nostr::kPatch)
        .Tag({"a", address_})
        .Tag({"p", owner_.public_key().ToHex()})
        .Tag({"t", "root"})
        .Tag({"commit", commit})
        .Content("From " + commit + " Mon Sep 17 00:00:00 2001\nSubject: [PATCH] improve the " +
                 Topic(i) + "\n\n---\n " + Topic(i) + ".c | 2 +-\n")
        .Sign(Someone());
  }

  Event PullRequest(int i) {
    return Next(nostr::kPullRequest)
        .Tag({"a", address_})
        .Tag({"p", owner_.public_key().ToHex()})
        .Tag({"subject", "Rework the " + Topic(i)})
        .Tag({"c", Commit("pull-request", i)})
        .Content("What changes, and why.")
        .Sign(Someone());
  }

  Event PullRequestUpdate(const Event& request, int i) {
    return Next(nostr::kPullRequestUpdate)
        .Tag({"a", address_})
        .Tag({"E", request.id.ToHex()})
        .Tag({"c", Commit("pull-request-update", i)})
        .Sign(people_[static_cast<size_t>(i) % people_.size()]);
  }

  // A root with what hangs on it. Comments refer to their root only by its id, so that they are
  // found by the third layer alone.
  void Thread(const Event& root, bool settled, nostr::Kind status) {
    Add(root);
    const std::string id = root.id.ToHex(), kind = std::to_string(root.kind);
    for (int i = 0; i < kCommentsPerRoot; ++i) {
      Add(Next(nostr::kComment)
              .Tag({"E", id})
              .Tag({"K", kind})
              .Tag({"e", id})
              .Tag({"k", kind})
              .Content("Comment " + std::to_string(i + 1))
              .Sign(Someone()));
    }
    if (settled) Add(Next(status).Tag({"e", id, "", "root"}).Tag({"a", address_}).Sign(owner_));
  }

  nostr::SecretKey owner_ = nostr::SecretKey::FromSeed("graspd demo owner");
  std::array<nostr::SecretKey, 4> people_ = {
      nostr::SecretKey::FromSeed("graspd demo 1"), nostr::SecretKey::FromSeed("graspd demo 2"),
      nostr::SecretKey::FromSeed("graspd demo 3"), nostr::SecretKey::FromSeed("graspd demo 4")};
  std::string address_;
  std::vector<Event>* events_ = nullptr;
  uint64_t hours_ = 0;
};

}  // namespace

Repository GenerateRepository(const std::vector<std::string>& relays,
                              const std::vector<std::string>& clone_hosts) {
  return Generator().Make(relays, clone_hosts);
}

}  // namespace graspd::demo
