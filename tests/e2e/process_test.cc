// graspd as a process: what it serves over HTTP, what it refuses to start with, how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"

namespace graspd::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(OpsPortTest, ProbesAnswer200AndMetricsAreComplete) {
  const TempDir dir;
  const Graspd graspd(dir, "graspd", {"--store=memory:"});
  EXPECT_EQ(HttpGet(graspd.ops(), "/livez").status, 200);
  const HttpAnswer ready = HttpGet(graspd.ops(), "/readyz");
  EXPECT_EQ(ready.status, 200) << ready.body;
  const HttpAnswer metrics = HttpGet(graspd.ops(), "/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_THAT(metrics.head, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(metrics.body, AllOf(HasSubstr("\n# TYPE graspd_"), HasSubstr("\ngraspd_")));
  for (const char* priority : {"client_verify", "sync_verify", "negentropy"}) {
    EXPECT_THAT(metrics.body, HasSubstr("\ngraspd_cpu_queue_tasks{priority=\"" +
                                        std::string(priority) + "\"} 0\n"));
  }
  EXPECT_TRUE(metrics.body.ends_with("\n")) << "Prometheus refuses a last line without an end";
  EXPECT_EQ(HttpGet(graspd.ops(), "/nothing").status, 404);
}

TEST(RelayPortTest, TheNip11DocumentParsesAndShowsTheLimitsInEffect) {
  const TempDir dir;
  const Graspd graspd(
      dir, "graspd",
      {"--store=memory:", "--relay-name=A \"quoted\" name", "--limits-message-bytes=600KiB",
       "--limits-subscriptions=7", "--sync-key-file=" + dir / "key"});
  const HttpAnswer answer = HttpGet(graspd.relay(), "/", "Accept: application/nostr+json\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.head, HasSubstr("application/nostr+json"));
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  ASSERT_EQ(parser.parse(answer.body).get(document), simdjson::SUCCESS) << answer.body;
  EXPECT_EQ(std::string(document["name"].get_string().value()), "A \"quoted\" name");
  EXPECT_EQ(document["limitation"]["max_message_length"].get_uint64().value(), 600u * 1024);
  EXPECT_EQ(document["limitation"]["max_subscriptions"].get_uint64().value(), 7u);
  EXPECT_TRUE(document["limitation"]["restricted_writes"].get_bool().value());
  EXPECT_EQ(document["software"].get_string().value(), "graspd");
  // The key that was made at the start.
  EXPECT_EQ(document["self"].get_string().value().size(), 64u);
  bool reconciles = false;
  for (const auto nip : document["supported_nips"]) reconciles |= nip.get_uint64().value() == 77;
  EXPECT_TRUE(reconciles);
}

// ---- refusals to start -------------------------------------------------------------------------

class RefusalTest : public testing::Test {
 protected:
  // Until it ends by itself: a graspd that serves after all fails the test at the deadline.
  static Outcome Start(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--store=memory:", "--log-format=text"});
    return RunGraspd(std::move(flags));
  }
  static constexpr char kRelay[] = "--relay-listen=127.0.0.1:0";
  static constexpr char kAdmin[] = "--admin-listen=127.0.0.1:0";
  static constexpr char kOps[] = "--ops-listen=127.0.0.1:0";
};

TEST_F(RefusalTest, AnAdminApiThatOthersCouldReach) {
  const Outcome outcome = Start({kRelay, kOps, "--admin-listen=0.0.0.0:0"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.out, "") << "not ready";
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("admin.listen"), HasSubstr("no authentication")));
}

TEST_F(RefusalTest, AnUnknownFlagWithTheNearestOneThatExists) {
  const Outcome outcome = Start({kRelay, kAdmin, kOps, "--polcy-mode=open"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("--polcy-mode"), HasSubstr("--policy-mode")));
}

TEST_F(RefusalTest, ABadValueWithItsKeyAndWhatIsAllowed) {
  const Outcome outcome = Start({kRelay, kAdmin, kOps, "--policy-mode=closed"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("policy.mode"), HasSubstr("closed"),
                                 HasSubstr("one of grasp, archive, open")));
}

TEST_F(RefusalTest, AWildcardAddressWithoutTheNameThatOthersUse) {
  const Outcome outcome = Start({"--relay-listen=0.0.0.0:0", kAdmin, kOps});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("relay.urls"), HasSubstr("must be set")));
}

TEST_F(RefusalTest, APortThatIsTaken) {
  const TempDir dir;
  const Graspd first(dir, "first", {"--store=memory:"});
  const Outcome outcome = Start({"--relay-listen=" + first.relay(), kAdmin, kOps});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("relay.listen"), HasSubstr(first.relay())));
}

TEST_F(RefusalTest, AStoreThatAnotherProcessHasOpen) {
  const TempDir dir;
  const std::string store = dir / "store";
  const Graspd first(dir, "first", {"--store=lmdb:" + store});
  const Outcome outcome = RunGraspd({kRelay, kAdmin, kOps, "--store=lmdb:" + store});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.out, "") << "not ready";
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("store lmdb:" + store + ": "), HasSubstr("in use")));
}

// ---- the end -----------------------------------------------------------------------------------

TEST(DrainTest, SubscribersAreToldAndTheProcessEndsInTimeWithExitCode0) {
  constexpr std::chrono::seconds kDrainTimeout{10};
  const TempDir dir;
  // Sync is on, so that all that a daemon has must come to its end.
  Graspd graspd(dir, "graspd", {"--store=lmdb:" + dir / "store", "--limits-drain-timeout=10s"});
  std::vector<std::unique_ptr<RelayClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RelayClient>(graspd.relay_url()));
    clients.back()->Subscribe("issues", {{.kinds = {{1621}}}});
    clients.back()->Subscribe("all", {{.limit = 0}});
  }

  graspd.process().Signal(SIGTERM);
  const auto exit_code = graspd.process().Wait(kDrainTimeout);
  ASSERT_TRUE(exit_code.ok()) << exit_code.status();
  EXPECT_EQ(*exit_code, 0);
  for (const auto& client : clients) {
    ASSERT_TRUE(client->Await([](const auto& heard) { return heard.end.has_value(); }));
    const RelayClient::Heard heard = client->heard();
    EXPECT_EQ(heard.end->close_code, 1001);
    for (const char* subscription : {"issues", "all"}) {
      ASSERT_TRUE(heard.closed.contains(subscription)) << subscription;
      EXPECT_THAT(heard.closed.at(subscription), HasSubstr("shutting down"));
    }
  }
}

}  // namespace
}  // namespace graspd::e2e
