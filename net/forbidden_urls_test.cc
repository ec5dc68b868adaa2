// Every URL of tests/data/forbidden-urls.tsv is refused where, and for the reason, that it says.
#include "net/forbidden_urls.h"

#include "net/test_support.h"
#include "nostr/relay_url.h"

namespace graspd::net {
namespace {

constexpr char kCorpus[] = "tests/data/forbidden-urls.tsv";

/// With the guard as operators have it: nothing is allowed by hand.
class ForbiddenUrlsTest : public NetTest {
 protected:
  ForbiddenUrlsTest() {
    for (const auto& entry : ReadForbiddenUrls(kCorpus)) {
      if (!entry.is_url) continue;
      urls_.push_back({Parse(entry.url), entry.reason});
      if (!entry.answers.empty()) resolver.names[urls_.back().first.host()] = entry.answers;
    }
  }
  static nostr::RelayUrl Parse(const std::string& url) {
    auto parsed = nostr::RelayUrl::Parse(url);
    if (!parsed.ok()) throw std::runtime_error(url + ": " + parsed.status().ToString());
    return *std::move(parsed);
  }

  const AddressGuard closed_{{}};
  const std::unique_ptr<Dialer> careful_ = MakeDialer(closed_, resolver, {});
  std::vector<std::pair<nostr::RelayUrl, std::string>> urls_;
};

TEST(ForbiddenUrlsCorpus, IsLarge) { EXPECT_GE(ReadForbiddenUrls(kCorpus).size(), 500u); }

TEST(ForbiddenUrlsCorpus, WhatIsNoRelayUrlIsRefusedAsSuch) {
  for (const auto& entry : ReadForbiddenUrls(kCorpus)) {
    const auto url = nostr::RelayUrl::Parse(entry.url);
    EXPECT_EQ(url.ok(), entry.is_url) << entry.url << ": " << url.status();
    if (entry.is_url) continue;
    EXPECT_EQ(std::string(url.status().message()), entry.reason) << entry.url;
  }
}

TEST_F(ForbiddenUrlsTest, WhatMayNotBeDialledIsBlockedBeforeAnyConnection) {
  for (const auto& [url, reason] : urls_) {
    auto handler = std::make_shared<RecordingHandler>();
    auto connection = careful_->Dial(DialOptions(url), handler, pool.Next());
    const DialFailure failure = handler->Closed();
    EXPECT_EQ(failure.error, DialError::kBlocked) << url.ToString();
    EXPECT_EQ(failure.detail, reason) << url.ToString();
    EXPECT_TRUE(BlockReasons().contains(reason)) << reason;
  }
}

TEST_F(ForbiddenUrlsTest, NorIsAnInformationDocumentFetchedFromIt) {
  IoThread& thread = pool.thread(0);
  for (const auto& [url, reason] : urls_) {
    std::promise<absl::Status> answer;
    On(thread, [&, &dialled = url] {
      auto connection =
          careful_->Dial(DialOptions(dialled), std::make_shared<RecordingHandler>(), thread);
      connection->FetchDocument([&](absl::StatusOr<RelayDocument> document) {
        answer.set_value(std::move(document).status());
      });
      return 0;
    });
    EXPECT_EQ(Await(answer.get_future()), absl::UnavailableError("blocked: " + reason))
        << url.ToString();
  }
}

}  // namespace
}  // namespace graspd::net
