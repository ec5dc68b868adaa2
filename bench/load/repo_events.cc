#include "bench/load/repo_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "nostr/filter.h"
#include "nostr/nip34.h"

namespace graspd::bench {
namespace {

constexpr size_t kCommenters = 100;

void Sign(const RepoEventMaker& maker, size_t begin, std::string& text, Progress* progress) {
  for (size_t i = begin; i < text.size() / kRepoEventBytes; i += 2) {
    const std::string json = nostr::EventJson(maker.Make(i));
    std::copy(json.begin(), json.end(), text.begin() + static_cast<ptrdiff_t>(i * json.size()));
    if (progress != nullptr) progress->Show("events signed", i);
  }
}

}  // namespace

RepoEventMaker::RepoEventMaker(uint64_t seed, uint64_t base_time, size_t repos, size_t issues)
    : seed_(seed), base_time_(base_time) {
  for (size_t i = 0; i < repos; ++i) {
    owners_.push_back(nostr::SecretKey::FromSeed(fmt::format("graspd-bench owner {} {}", seed, i)));
  }
  for (size_t i = 0; i < kCommenters; ++i) {
    authors_.push_back(nostr::SecretKey::FromSeed(fmt::format("graspd-bench {} {}", seed, i)));
  }
  for (size_t i = 0; i < issues; ++i) issues_.push_back(Issue(i).id);
}

nostr::Address RepoEventMaker::address(size_t repo) const {
  return {nostr::kRepositoryAnnouncement, owners_[repo].public_key(), fmt::format("repo-{}", repo)};
}

nostr::Event RepoEventMaker::Finish(nostr::Event event, size_t i) const {
  const auto& key = author(i);
  event.pubkey = key.public_key();
  event.created_at = base_time_ + i;
  event.content = fmt::format("{} of seed {}: ", i, seed_);
  // The JSON is as long unsigned as signed.
  event.content.append(kRepoEventBytes - nostr::EventJson(event).size(), 'x');
  event.id = nostr::ComputeId(event);
  event.sig = key.Sign(event.id.bytes);
  return event;
}

nostr::Event RepoEventMaker::Issue(size_t i) const {
  nostr::Event event;
  event.kind = nostr::kIssue;
  event.tags.Add({"a", address(i % repos()).ToString()});
  event.tags.Add({"subject", fmt::format("Issue {}", i)});
  return Finish(std::move(event), i);
}

nostr::Event RepoEventMaker::Make(size_t i) const {
  if (i < issues_.size()) return Issue(i);
  const size_t issue = i % issues_.size();
  const std::string id = issues_[issue].ToHex(), by = author(issue).public_key().ToHex();
  const std::string kind = std::to_string(nostr::kIssue);
  nostr::Event event;
  event.kind = nostr::kComment;
  event.tags.Add({"E", id});
  event.tags.Add({"A", address(issue % repos()).ToString()});
  event.tags.Add({"K", kind});
  event.tags.Add({"P", by});
  event.tags.Add({"e", id});
  event.tags.Add({"k", kind});
  event.tags.Add({"p", by});
  return Finish(std::move(event), i);
}

nostr::Event RepoEventMaker::Announcement(size_t repo, const std::vector<std::string>& relays,
                                          uint64_t created_at) const {
  nostr::Event event;
  event.kind = nostr::kRepositoryAnnouncement;
  event.pubkey = owners_[repo].public_key();
  event.created_at = created_at;
  event.tags.Add({"d", address(repo).identifier});
  event.tags.AddElement("relays");
  for (const auto& relay : relays) event.tags.AddElement(relay);
  event.tags.EndTag();
  event.id = nostr::ComputeId(event);
  event.sig = owners_[repo].Sign(event.id.bytes);
  return event;
}

EventSet SignRepoEvents(const RepoEventMaker& maker, size_t count, Progress& progress) {
  std::string text(count * kRepoEventBytes, '\0');
  std::thread other([&] { Sign(maker, 1, text, nullptr); });
  Sign(maker, 0, text, &progress);
  other.join();
  progress.Clear();
  return EventSet(std::move(text), kRepoEventBytes);
}

std::string RepoFiltersJson(const RepoEventMaker& maker) {
  nostr::Filter issues, comments;
  issues.kinds = {nostr::kIssue};
  comments.kinds = {nostr::kComment};
  for (size_t i = 0; i < maker.repos(); ++i) {
    issues.tags['a'].push_back(maker.address(i).ToString());
    comments.tags['A'].push_back(maker.address(i).ToString());
  }
  return nostr::FilterJson(issues) + "," + nostr::FilterJson(comments);
}

}  // namespace graspd::bench
