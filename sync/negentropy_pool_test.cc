#include "sync/negentropy_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/test_thread.h"
#include "nostr/negentropy/reconciler.h"
#include "storage/memory/memory_store.h"
#include "sync/testing/events.h"

namespace graspd::sync {
namespace {

constexpr size_t kFrame = 60'000;

class AcceptAll final : public storage::Judge {
 public:
  absl::StatusOr<Verdict> Decide(const nostr::Event&, storage::Source,
                                 const storage::ReadView&) override {
    return Verdict();
  }
};

class Refusals final : public ingest::KnownRefusals {
 public:
  std::vector<bool> InVain(std::span<const nostr::EventId> ids) override {
    std::vector<bool> out;
    for (const auto& id : ids) out.push_back(refused.contains(id));
    return out;
  }
  std::set<nostr::EventId> refused;
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class NegentropyPoolTest : public ::testing::Test {
 protected:
  nostr::Event MakeIssue(int i) {
    return testing::Issue({testing::Repo("alice", "tool")}, 1000, std::to_string(i));
  }
  void Store(const nostr::Event& event) {
    const storage::WriteRequest request{nostr::MakeRecord(event), storage::Source::kDirect};
    AcceptAll judge;
    auto written = store_->Write({&request, 1}, judge, 2000);
    ASSERT_TRUE(written.ok());
    feed_.Publish(std::make_shared<storage::Commit>(std::move(written->commit)));
  }
  // The pool begins anew with these bounds on sets that are kept.
  void Bound(size_t items, size_t bytes) {
    sets_ = std::make_shared<storage::NegSets>(*store_, feed_, base::SystemClock::Instance(), items,
                                               bytes);
    pool_ = std::make_unique<NegentropyPool>(
        *store_, sets_, refusals_, reads_, cpu_, base::SystemClock::Instance(), executor_,
        [this](uint64_t session, absl::StatusOr<ReconcileStep> step) {
          steps_.emplace_back(session, std::move(step));
        });
  }
  void SetUp() override { Bound(1000, 64u << 20); }
  // All rounds of a reconciliation with who has `theirs`; what is wanted in the end.
  std::vector<nostr::EventId> Reconcile(std::vector<negentropy::Item> theirs) {
    negentropy::Responder remote(std::make_shared<negentropy::SealedSet>(std::move(theirs)), {});
    std::vector<nostr::EventId> wanted;
    pool_->Start(5, {}, kFrame);
    for (;;) {
      executor_.RunNext();
      EXPECT_TRUE(steps_.back().second.ok()) << steps_.back().second.status();
      if (!steps_.back().second.ok()) return wanted;
      const auto& step = *steps_.back().second;
      wanted.insert(wanted.end(), step.wanted.begin(), step.wanted.end());
      if (step.message.empty()) break;
      pool_->Continue(5, remote.Answer(step.message).value());
    }
    pool_->Drop(5);
    return wanted;
  }

  std::unique_ptr<storage::EventStore> store_ = storage::OpenMemoryStore();
  storage::CommitFeed feed_;
  base::TestThread executor_;
  base::CpuPool cpu_{1};
  base::BlockingPool reads_{1, 16, "reads"};  // ends first: it posts there
  Refusals refusals_;
  std::vector<std::pair<uint64_t, absl::StatusOr<ReconcileStep>>> steps_;
  std::shared_ptr<storage::NegSets> sets_;
  std::unique_ptr<NegentropyPool> pool_;
};

TEST_F(NegentropyPoolTest, ReconcilesAgainstWhatIsStoredAndWantsOnlyWhatIsNot) {
  for (int i = 0; i < 40; ++i) Store(MakeIssue(i));
  std::vector<negentropy::Item> theirs;
  for (int i = 20; i < 60; ++i) theirs.push_back({1000, MakeIssue(i).id});
  negentropy::Responder remote(std::make_shared<negentropy::SealedSet>(std::move(theirs)), {});

  nostr::Filter filter;
  filter.kinds = {nostr::kIssue};
  pool_->Start(5, filter, kFrame);
  uint64_t have = 0;
  size_t wanted = 0;
  for (;;) {
    executor_.RunNext();
    ASSERT_TRUE(steps_.back().second.ok()) << steps_.back().second.status();
    const auto& step = *steps_.back().second;
    have += step.have;
    wanted += step.wanted.size();
    if (step.message.empty()) break;
    pool_->Continue(5, remote.Answer(step.message).value());
  }
  EXPECT_EQ(have, 20u);
  EXPECT_EQ(wanted, 20u);
}

TEST_F(NegentropyPoolTest, ComparingAgainReadsNothing) {
  for (int i = 0; i < 10; ++i) Store(MakeIssue(i));
  EXPECT_THAT(Reconcile({{1000, MakeIssue(20).id}}), ElementsAre(MakeIssue(20).id));
  EXPECT_EQ(sets_->scans(), 1u);
  Store(MakeIssue(20));
  EXPECT_THAT(Reconcile({{1000, MakeIssue(20).id}}), IsEmpty());
  EXPECT_EQ(sets_->scans(), 1u);
}

TEST_F(NegentropyPoolTest, ASetTooLargeToBeKeptIsReadForTheSessionAlone) {
  for (int i = 0; i < 10; ++i) Store(MakeIssue(i));
  Bound(5, 64u << 20);
  EXPECT_THAT(Reconcile({{1000, MakeIssue(3).id}, {1000, MakeIssue(20).id}}),
              ElementsAre(MakeIssue(20).id));
  EXPECT_EQ(sets_->kept(), 0u);
}

TEST_F(NegentropyPoolTest, AnIdThatCameMeanwhileByAnotherWayIsNotWanted) {
  negentropy::Responder remote(
      std::make_shared<negentropy::SealedSet>(
          std::vector<negentropy::Item>{{1000, MakeIssue(1).id}, {1000, MakeIssue(2).id}}),
      {});
  pool_->Start(5, {}, kFrame);
  executor_.RunNext();
  Store(MakeIssue(1));
  pool_->Continue(5, remote.Answer(steps_.back().second->message).value());
  executor_.RunNext();
  EXPECT_EQ(steps_.back().second->need, 2u);
  EXPECT_EQ(steps_.back().second->wanted, std::vector{MakeIssue(2).id});
}

TEST_F(NegentropyPoolTest, AnIdThatWasRefusedBeforeIsNotWanted) {
  Store(MakeIssue(3));
  negentropy::Responder remote(
      std::make_shared<negentropy::SealedSet>(
          std::vector<negentropy::Item>{{1000, MakeIssue(1).id}, {1000, MakeIssue(2).id}}),
      {});
  refusals_.refused = {MakeIssue(2).id};
  pool_->Start(5, {}, kFrame);
  executor_.RunNext();
  pool_->Continue(5, remote.Answer(steps_.back().second->message).value());
  executor_.RunNext();
  EXPECT_EQ(steps_.back().second->need, 2u);
  EXPECT_EQ(steps_.back().second->wanted, std::vector{MakeIssue(1).id});
}

TEST_F(NegentropyPoolTest, AStepOfADroppedSessionIsNotTakenForItsSuccessors) {
  pool_->Start(5, {}, kFrame);
  auto stale = executor_.Take();  // computed, not yet reported
  pool_->Drop(5);
  pool_->Start(5, {}, kFrame);
  stale();
  EXPECT_TRUE(steps_.empty());
  executor_.RunNext();
  EXPECT_EQ(steps_.size(), 1u);
}

TEST_F(NegentropyPoolTest, StepsUnderWayOutliveThePool) {
  pool_->Start(5, {}, kFrame);
  auto late = executor_.Take();
  pool_.reset();
  late();
  EXPECT_TRUE(steps_.empty());
}

TEST_F(NegentropyPoolTest, ARubbishReplyIsAnErrorOfItsSession) {
  pool_->Start(5, {}, kFrame);
  executor_.RunNext();
  pool_->Continue(5, "rubbish");
  executor_.RunNext();
  EXPECT_FALSE(steps_.back().second.ok());
}

}  // namespace
}  // namespace graspd::sync
