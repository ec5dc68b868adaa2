#include "ingest/pipeline.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "ingest/pipeline_test_support.h"

namespace graspd::ingest {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using nostr::SecretKey;
using storage::Source;
using testing::ElementsAre;
using testing::StartsWith;
using Lane = EventSink::Lane;

TEST_F(PipelineTest, EachKindOfFaultIsRefusedInItsWordsAndCounted) {
  nostr::Limits limits;
  limits.event_bytes = 1000;
  limits.event_tags = 2;
  Start({PolicyMode::kOpen, {}, true}, limits);
  const auto signed_event = [this](EventBuilder builder) { return builder.Sign(key_); };
  const uint64_t now = clock_.UnixNow();
  Event wrong_id = Note("a"), bad_signature = Note("b");
  wrong_id.content = "c";
  bad_signature.sig.bytes[5] ^= 1;
  const Event is_protected = signed_event(EventBuilder(1, now).Tag({"-"}));
  const Event repost = signed_event(EventBuilder(6, now).Content(nostr::EventJson(is_protected)));
  struct Case {
    Event event;
    const char *reason, *prefix;
  };
  const Case cases[] = {
      {Note(std::string(1000, 'x')), "too_large", "invalid: event larger than 1000 bytes"},
      {signed_event(EventBuilder(1, now).Tag({"a"}).Tag({"b"}).Tag({"c"})), "too_many_tags",
       "invalid: more than 2 tags"},
      {signed_event(EventBuilder(1, now + 100'000)), "too_far_ahead", "invalid: created_at"},
      {Note("", nostr::kAuthKind), "auth_kind", "invalid: kind 22242"},
      {wrong_id, "wrong_id", "invalid: id"},
      {bad_signature, "bad_signature", "invalid: bad signature"},
      {is_protected, "protected", "restricted: "},
      {repost, "reposts_protected", "blocked: "},
  };
  for (const auto& c : cases) {
    const Result result = FromSync(c.event);
    EXPECT_FALSE(result.accepted()) << c.reason;
    EXPECT_THAT(result.message, ::testing::StartsWith(c.prefix));
    const std::string metric =
        std::string("graspd_ingest_check_refusals_total{reason=\"") + c.reason + "\"}";
    EXPECT_EQ(Gauge(metric), 1) << c.reason;
  }
}

TEST_F(PipelineTest, ResultsAndCommitsKeepTheOrderOfSubmission) {
  Start();
  std::vector<nostr::EventId> published;
  const auto subscription = feed_.Subscribe([&](const storage::CommitPtr& commit) {
    for (const auto& change : commit->changes) published.push_back(change.id);
  });
  std::vector<Event> events;
  for (int i = 0; i < 400; ++i) {
    events.push_back(Note(std::to_string(i)));
    if (i % 7 == 0) events.back().sig.bytes[10] ^= 1;
  }
  for (const Event& event : events) client_->Submit(event, Source::kDirect);
  thread_.RunUntil([&] { return client_results_.size() == events.size(); });

  std::vector<nostr::EventId> valid;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(client_results_[i].id, events[i].id) << i;
    EXPECT_EQ(client_results_[i].code, i % 7 == 0 ? Code::kInvalid : Code::kStored) << i;
    if (i % 7 != 0) valid.push_back(events[i].id);
  }
  EXPECT_EQ(published, valid);
}

TEST_F(PipelineTest, AProtectedEventIsTakenFromClientsAndFilesButNeverFromRemotes) {
  Start();
  const auto event = [this](std::string_view content) {
    return EventBuilder(1, clock_.UnixNow()).Tag({"-"}).Content(content).Sign(key_);
  };
  for (const Source source :
       {Source::kLive, Source::kStartup, Source::kReconnect, Source::kDaily, Source::kManual}) {
    const Result result = One(*sync_, sync_results_, event("x"), source);
    EXPECT_EQ(result.code, Code::kRefused) << SourceName(source);  // for good: not parked
    EXPECT_THAT(result.message, StartsWith("restricted: "));
  }
  const Event repost = Note(nostr::EventJson(event("x")), 6);
  EXPECT_EQ(FromSync(repost).code, Code::kRefused);
  // Nor fetched again; but whoever sends something else under an id keeps nobody from it.
  Event other = event("z");
  const Event real = other;
  other.content = "other";
  EXPECT_EQ(FromSync(other).code, Code::kInvalid);
  EXPECT_EQ(pipeline_->known_refusals().InVain(std::vector{event("x").id, repost.id, real.id}),
            (std::vector<bool>{true, true, false}));
  EXPECT_EQ(FromClient(event("x")).code, Code::kStored);
  EXPECT_EQ(One(*client_, client_results_, event("y"), Source::kImport).code, Code::kStored);
}

TEST_F(PipelineTest, AnAuthorHasABudgetThatNobodyElseCanUseUp) {
  nostr::Limits limits;
  limits.events_per_second = 1;
  limits.events_burst = 1;
  limits.author_rate_factor = 2;
  Start({PolicyMode::kOpen, {}, true}, limits);
  const Event first = Note("1");
  EXPECT_EQ(FromClient(first).code, Code::kStored);
  // Neither what is known already, nor forgeries, nor what a remote brings counts.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(FromClient(first).code, Code::kDuplicate);
  Event forged = Note("forged");
  forged.sig.bytes[0] ^= 1;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(FromClient(forged).code, Code::kInvalid);
  for (const char* text : {"a", "b", "c"}) EXPECT_EQ(FromSync(Note(text)).code, Code::kStored);

  EXPECT_EQ(FromClient(Note("2")).code, Code::kStored);
  const Result refused = FromClient(Note("3"));
  EXPECT_EQ(refused.code, Code::kRefused);
  EXPECT_THAT(refused.message, StartsWith("rate-limited: "));
  EXPECT_FALSE(Stored(refused.id));
  const Event other = EventBuilder(1, clock_.UnixNow()).Sign(SecretKey::FromSeed("other"));
  EXPECT_EQ(FromClient(other).code, Code::kStored);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(FromClient(Note("3")).code, Code::kStored);
}

TEST_F(PipelineTest, AChildPipelinedBehindItsParentIsAccepted) {
  PolicyOptions options;
  options.own_hosts = {{"relay.example", 443}};
  options.require_clone = false;
  Start(options);
  const Event parent = EventBuilder(nostr::kRepositoryAnnouncement, clock_.UnixNow())
                           .Tag({"d", "repo"})
                           .Tag({"relays", "wss://relay.example"})
                           .Sign(key_);
  const Event child = EventBuilder(nostr::kIssue, clock_.UnixNow())
                          .Tag({"a", "30617:" + key_.public_key().ToHex() + ":repo"})
                          .Sign(key_);
  client_->Submit(parent, Source::kDirect);
  client_->Submit(child, Source::kDirect);
  thread_.RunUntil([&] { return client_results_.size() == 2; });
  EXPECT_EQ(client_results_[0].code, Code::kStored);
  EXPECT_EQ(client_results_[1].code, Code::kStored) << client_results_[1].message;
}

TEST_F(PipelineTest, ASweepRemovesWhatHasExpiredAndPublishesIt) {
  Start();
  const Event brief = EventBuilder(1, clock_.UnixNow())
                          .Tag({"expiration", std::to_string(clock_.UnixNow() + 60)})
                          .Sign(key_);
  const Event lasting = Note("lasting");
  FromClient(brief);
  FromClient(lasting);
  std::vector<nostr::EventId> removed;
  const auto subscription = feed_.Subscribe([&](const storage::CommitPtr& commit) {
    for (const auto& change : commit->changes) {
      if (change.type != storage::Change::Type::kRemoved) continue;
      thread_.Post([&removed, id = change.id] { removed.push_back(id); });
    }
  });
  clock_.Advance(std::chrono::seconds(61));
  pipeline_->SweepExpired();
  thread_.RunUntil([&] { return !removed.empty(); });
  EXPECT_THAT(removed, ElementsAre(brief.id));
  EXPECT_TRUE(Stored(lasting.id));
  EXPECT_EQ(FromClient(Note("still written")).code, Code::kStored);
}

TEST_F(PipelineTest, ADuplicateIsAcceptedAndSaysSo) {
  Start();
  const Event note = Note("x");
  EXPECT_EQ(FromClient(note).message, "");
  const Result again = FromClient(note);
  EXPECT_EQ(again.code, Code::kDuplicate);
  EXPECT_TRUE(again.accepted());
  EXPECT_EQ(again.message, "duplicate: already have this event");
}

TEST_F(PipelineTest, AKnownIdWithAnotherSignatureIsADuplicateOnlyIfThatIsValidToo) {
  Start();
  // Two real signatures of one event.
  auto first = nostr::ParseEvent(
      R"({"id":"323bffe26eeb9732b5f61df5eb1f87f6ea9c452d541f604bf6b9a3984a0f8431",)"
      R"("pubkey":"79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",)"
      R"("created_at":1700050005,"kind":1,"tags":[],"content":"",)"
      R"("sig":"f6c672804e9bbe09e277b294bdfea87c6efd6776f20e75edf2bf3d01d1fc01e5)"
      R"(17b46941251ebe5e07bdebe26d325ac7c1a7545dd8ac97f8428754f18d0d1d51"})");
  ASSERT_TRUE(first.ok()) << first.status();
  clock_.Advance(std::chrono::hours(24));
  Event second = *first;
  second.sig = *nostr::Signature::FromHex(
      "d88afc1c8abf0a4d5e864de59065d730a50c888b582e89903d4550d5d40136bc"
      "1ddd3d2979d0d22c9847f0c3f0ae9a0a62f29c1ae017fb5ceac1e845b63e0a45");
  Event forged = *first;
  forged.sig.bytes[0] ^= 1;

  EXPECT_EQ(FromClient(*first).code, Code::kStored);
  EXPECT_EQ(FromClient(second).code, Code::kDuplicate);
  EXPECT_EQ(FromClient(forged).code, Code::kInvalid);
  EXPECT_EQ(FromSync(forged).message, "invalid: bad signature");
  EXPECT_EQ(*store_.FindSignature(first->id), first->sig);
}

TEST_F(PipelineTest, OtherContentUnderAStoredIdAndSignatureIsInvalid) {
  Start();
  Event note = Note("x");
  EXPECT_EQ(FromClient(note).code, Code::kStored);
  note.content = "y";
  EXPECT_EQ(FromClient(note).message, "invalid: id is not the hash of the event");
}

TEST_F(PipelineTest, WhatMayNotBeStoredIsRefusedWithItsPrefix) {
  Start();
  const auto build = [&](nostr::Kind kind, uint64_t at) { return EventBuilder(kind, at); };
  const uint64_t now = clock_.UnixNow();
  EXPECT_THAT(FromClient(build(1, now + 901).Sign(key_)).message, StartsWith("invalid: "));
  EXPECT_THAT(FromClient(build(22242, now).Sign(key_)).message, StartsWith("invalid: "));
  const Result expired =
      FromClient(build(1, now).Tag({"expiration", std::to_string(now)}).Sign(key_));
  EXPECT_EQ(expired.code, Code::kExpired);
  EXPECT_THAT(expired.message, StartsWith("invalid: "));
}

TEST_F(PipelineTest, OlderAndDeletedVersionsSayWhatTheyAre) {
  Start();
  const uint64_t now = clock_.UnixNow();
  EXPECT_EQ(FromClient(EventBuilder(0, now).Sign(key_)).code, Code::kStored);
  const Result older = FromClient(EventBuilder(0, now - 1).Sign(key_));
  EXPECT_TRUE(older.accepted());
  EXPECT_EQ(older.message, "duplicate: have a newer version");

  const Event note = Note("x");
  EXPECT_EQ(FromClient(EventBuilder(5, now).Tag({"e", note.id.ToHex()}).Sign(key_)).code,
            Code::kStored);
  const Result deleted = FromClient(note);
  EXPECT_FALSE(deleted.accepted());
  EXPECT_EQ(deleted.message, "blocked: deleted");
}

TEST_F(PipelineTest, AnEphemeralEventIsPublishedButNotStored) {
  Start();
  std::vector<nostr::EventId> published;
  const auto subscription = feed_.Subscribe([&](const storage::CommitPtr& commit) {
    for (const auto& change : commit->changes) {
      if (change.ephemeral) published.push_back(change.id);
    }
  });
  const Event event = Note("x", 20'001);
  EXPECT_EQ(FromClient(event).code, Code::kStored);
  EXPECT_THAT(published, ElementsAre(event.id));
  EXPECT_FALSE(Stored(event.id));
}

TEST_F(PipelineTest, WhatTheStoreCannotTakeIsAnErrorAndLaterEventsAreTakenAgain) {
  Start();
  store_.FailWith(absl::ResourceExhaustedError("disk full"));
  const Result failed = FromClient(Note("a"));
  EXPECT_EQ(failed.code, Code::kError);
  EXPECT_FALSE(failed.accepted());
  EXPECT_THAT(failed.message, StartsWith("error: "));
  store_.FailWith(absl::OkStatus());
  EXPECT_EQ(FromClient(Note("a")).code, Code::kStored);
}

TEST_F(PipelineTest, AfterLossOfDataNothingIsWrittenAnyMore) {
  Start();
  store_.FailWith(absl::DataLossError("checksum"));
  EXPECT_EQ(FromClient(Note("a")).code, Code::kError);
  store_.FailWith(absl::OkStatus());
  const Event note = Note("b");
  EXPECT_EQ(FromClient(note).code, Code::kError);
  EXPECT_FALSE(Stored(note.id));
}

TEST_F(PipelineTest, CreditsRunOutAndComeBackBeforeTheCallback) {
  Start();
  store_.Hold();
  size_t at_callback = 0;
  Submitter* used = nullptr;
  const auto submitter = pipeline_->Open(
      Lane::kClient, thread_, [&](std::span<const Result>) { at_callback = used->credits(); });
  used = submitter.get();
  EXPECT_EQ(submitter->credits(), 256u);
  EXPECT_EQ(sync_->credits(), 4096u);
  int submitted = 0;
  for (; submitter->credits() > 0; ++submitted) {
    submitter->Submit(Note(std::to_string(submitted)), Source::kDirect);
  }
  EXPECT_EQ(submitted, 256);
  store_.Release();
  thread_.RunUntil([&] { return at_callback > 0; });
}

TEST_F(PipelineTest, LargeEventsUseUpCreditsSooner) {
  Start();
  store_.Hold();
  int submitted = 0;
  for (; client_->credits() > 0; ++submitted) {
    client_->Submit(Note(std::string(200'000, 'x') + std::to_string(submitted)), Source::kDirect);
  }
  EXPECT_LT(submitted, 30);
}

TEST_F(PipelineTest, DrainAnswersWhatIsQueuedAndRefusesWhatComesLater) {
  Start();
  for (int i = 0; i < 100; ++i) client_->Submit(Note(std::to_string(i)), Source::kDirect);
  pipeline_->Drain();
  thread_.RunAll();
  ASSERT_EQ(client_results_.size(), 100u);
  for (const Result& result : client_results_) EXPECT_EQ(result.code, Code::kStored);
  const Event late = Note("late");
  const Result refused = FromClient(late);
  EXPECT_EQ(refused.code, Code::kError);
  EXPECT_THAT(refused.message, StartsWith("error: "));
  EXPECT_FALSE(Stored(late.id));
}

// Refused at the door they cost next to nothing, so tasks meet in every order, also with nothing to
// do.
TEST_F(PipelineTest, ABurstKeepsItsOrderHoweverTheChecksInterleave) {
  Start();
  pipeline_->Drain();
  constexpr size_t kEvents = 30'000;
  Event event;
  const auto number = [&event](size_t i) {
    for (size_t byte = 0; byte < 4; ++byte) event.id.bytes[byte] = uint8_t(i >> (8 * byte));
  };
  for (size_t i = 0; i < kEvents; ++i) {
    number(i);
    sync_->Submit(event, Source::kLive);
  }
  thread_.RunUntil([&] { return sync_results_.size() == kEvents; });
  for (size_t i = 0; i < kEvents; ++i) {
    number(i);
    ASSERT_EQ(sync_results_[i].id, event.id) << i;
  }
}

// Small commits cost more an event, and nobody waits for a remote's.
TEST_F(PipelineTest, RemotesEventsAreWrittenTogetherWhileMoreAreBeingChecked) {
  Start();
  const Event held = Note("held");
  store_.HoldLookup(held.id);
  const auto other = Open(Lane::kSync, sync_results_);
  other->Submit(held, Source::kStartup);
  for (int i = 0; i < 400; ++i) sync_->Submit(Note(std::to_string(i)), Source::kStartup);
  while (Gauge("graspd_ingest_write_queue_events{lane=\"sync\"}") < 400) std::this_thread::yield();
  EXPECT_EQ(store_.writes(), 0);
  store_.HoldLookup({});
  thread_.RunUntil([&] { return sync_results_.size() == 401; });
  EXPECT_EQ(store_.writes(), 1);
}

TEST_F(PipelineTest, AClientsEventDoesNotWaitForRemotes) {
  Start();
  const Event held = Note("held");
  store_.HoldLookup(held.id);
  sync_->Submit(held, Source::kStartup);
  EXPECT_EQ(FromClient(Note("mine")).code, Code::kStored);
  EXPECT_TRUE(sync_results_.empty());
}

TEST_F(PipelineTest, AFullBatchOfRemotesIsWrittenAlthoughMoreAreBeingChecked) {
  Start();
  const Event held = Note("held");
  store_.HoldLookup(held.id);
  const auto other = Open(Lane::kSync, client_results_);
  other->Submit(held, Source::kStartup);
  for (int i = 0; i < 1000; ++i) sync_->Submit(Note(std::to_string(i)), Source::kStartup);
  thread_.RunUntil([&] { return sync_results_.size() == 1000; });
}

TEST_F(PipelineTest, WhatTheStoreWasJustAskedForIsNotLookedUpAgain) {
  Start();
  const Event event = Note("asked for");
  sync_->Submit(event, Source::kStartup, Lookup::kDone);
  thread_.RunUntil([&] { return sync_results_.size() == 1; });
  EXPECT_EQ(store_.lookups(), 0);
  sync_->Submit(event, Source::kStartup, Lookup::kDone);
  thread_.RunUntil([&] { return sync_results_.size() == 2; });
  EXPECT_EQ(sync_results_[0].code, Code::kStored);
  EXPECT_EQ(sync_results_[1].code, Code::kDuplicate);
  Event forged = event;
  forged.sig.bytes[0] ^= 1;
  sync_->Submit(forged, Source::kStartup, Lookup::kDone);
  thread_.RunUntil([&] { return sync_results_.size() == 3; });
  EXPECT_EQ(sync_results_[2].message, "invalid: bad signature");
}

TEST_F(PipelineTest, EventsOfAClosedSubmitterAreStoredUnheard) {
  Start();
  std::vector<Event> events;
  for (int i = 0; i < 20; ++i) events.push_back(Note(std::to_string(i)));
  for (const Event& event : events) client_->Submit(event, Source::kDirect);
  client_.reset();
  pipeline_->Drain();
  thread_.RunAll();
  EXPECT_TRUE(client_results_.empty());
  for (const Event& event : events) EXPECT_TRUE(Stored(event.id));
}

// Checks come one after the other, so that who has to wait for whom can be told.
class OneCheckAtATimeTest : public PipelineTest {
 protected:
  OneCheckAtATimeTest() : PipelineTest(1) {}
  /// Submits `count` events behind one whose check does not end, until HoldLookup() of another.
  std::vector<nostr::EventId> SubmitHeld(Submitter& submitter, const std::string& name, int count) {
    const Event held = Note(name);
    store_.HoldLookup(held.id);
    std::vector<nostr::EventId> ids = {held.id};
    submitter.Submit(held, Source::kDirect);
    for (int i = 0; i < count; ++i) {
      const Event event = Note(name + std::to_string(i));
      ids.push_back(event.id);
      submitter.Submit(event, Source::kDirect);
    }
    return ids;
  }
  void Forge(Submitter& submitter, std::vector<Result>& results) {
    Event forged = Note("forged");
    forged.sig.bytes[0] ^= 1;
    EXPECT_TRUE(One(submitter, results, forged, Source::kDirect).forged);
  }
};

// Threats C1.
TEST_F(OneCheckAtATimeTest, WhoForgesOrIsNewKeepsOthersWaitingForOneCheckOnly) {
  for (const bool forges : {false, true}) {
    Start();
    std::vector<nostr::EventId> published;
    const auto subscription = feed_.Subscribe([&](const storage::CommitPtr& commit) {
      for (const auto& change : commit->changes) published.push_back(change.id);
    });
    const std::string name = forges ? "forger" : "new";
    std::vector<Result> results;
    const auto other = Open(Lane::kClient, results);
    if (forges) {
      for (int i = 0; i < 10; ++i) One(*other, results, Note(name + "!"), Source::kDirect);
      Forge(*other, results);
    }
    const size_t before = published.size();
    const auto heard = [&] { return results.size() + client_results_.size(); };
    const size_t heard_before = heard();
    SubmitHeld(*other, name, 40);
    const Event mine = Note("mine" + name);
    client_->Submit(mine, Source::kDirect);
    store_.HoldLookup({});
    thread_.RunUntil([&] { return heard() == heard_before + 42; });
    ASSERT_EQ(published.size(), before + 42);
    EXPECT_EQ(published[before + 1], mine.id);
  }
}

TEST_F(OneCheckAtATimeTest, WhatAForgerLeavesUncheckedIsNotCheckedAnyMore) {
  Start();
  Forge(*client_, client_results_);
  const auto ids = SubmitHeld(*client_, "rest", 40);
  client_.reset();
  store_.HoldLookup({});
  pipeline_->Drain();
  EXPECT_LE(store_.lookups(), 2) << "the forged event, and one whose check may be under way";
  for (size_t i = 1; i < ids.size(); ++i) EXPECT_FALSE(Stored(ids[i]));
}

// Nobody is there to be told.
TEST_F(OneCheckAtATimeTest, WhoIsGoneWhenItsForgedEventIsCheckedKeepsNobodyWaiting) {
  Start();
  const Event held = Note("held");
  store_.HoldLookup(held.id);
  client_->Submit(held, Source::kDirect);
  Event forged = Note("forged");
  forged.sig.bytes[0] ^= 1;
  client_->Submit(forged, Source::kDirect);
  Event rest;
  for (int i = 0; i < 5; ++i) {
    rest = Note("rest" + std::to_string(i));
    client_->Submit(rest, Source::kDirect);
  }
  client_.reset();
  store_.HoldLookup({});
  pipeline_->Drain();
  EXPECT_TRUE(Stored(held.id));
  EXPECT_FALSE(Stored(rest.id));
}

TEST_F(OneCheckAtATimeTest, AfterAForgedEventTheNextIsCheckedOnceTheOwnerIsTold) {
  Start();
  Event forged = Note("forged");
  forged.sig.bytes[0] ^= 1;
  const auto others_have_turns = [&] {
    for (int i = 0; i < 20; ++i) {
      std::promise<void> done;
      cpu_.Run(base::CpuPool::Priority::kClientVerify, [&] { done.set_value(); });
      done.get_future().wait();
    }
  };
  for (int i = 0; i < 5; ++i) {
    client_->Submit(forged, Source::kDirect);
    others_have_turns();
  }
  EXPECT_EQ(store_.lookups(), 1);
  thread_.RunNext();
  EXPECT_EQ(client_results_.size(), 1u);
  others_have_turns();
  EXPECT_EQ(store_.lookups(), 2);
  thread_.RunUntil([&] { return client_results_.size() == 5; });
  EXPECT_EQ(FromClient(Note("honest")).code, Code::kStored);
}

TEST_F(PipelineTest, ASubmitterMayGoAwayInItsOwnCallback) {
  Start();
  bool called = false;
  std::unique_ptr<Submitter> submitter;
  submitter = pipeline_->Open(Lane::kClient, thread_, [&](std::span<const Result>) {
    submitter.reset();
    called = true;
  });
  submitter->Submit(Note("x"), Source::kDirect);
  thread_.RunUntil([&] { return called; });
}

TEST_F(PipelineTest, ABacklogOfSyncDoesNotHoldUpClients) {
  Start();
  std::vector<Lane> order;  // of the commits' events
  const auto subscription = feed_.Subscribe([&](const storage::CommitPtr& commit) {
    for (const auto& change : commit->changes) {
      order.push_back(change.source == Source::kDirect ? Lane::kClient : Lane::kSync);
    }
  });
  store_.Hold();
  sync_->Submit(Note("first"), Source::kLive);
  store_.WaitForWrites(1);
  for (int i = 0; i < 1500; ++i) sync_->Submit(Note("s" + std::to_string(i)), Source::kLive);
  for (int i = 0; i < 5; ++i) client_->Submit(Note("c" + std::to_string(i)), Source::kDirect);
  // Everything has been checked once the writer's queues hold it all.
  while (Gauge("graspd_ingest_write_queue_events{lane=\"sync\"}") < 1500 ||
         Gauge("graspd_ingest_write_queue_events{lane=\"client\"}") < 5) {
    std::this_thread::yield();
  }
  store_.Release();
  thread_.RunUntil([&] { return client_results_.size() == 5 && sync_results_.size() == 1501; });
  ASSERT_EQ(order.size(), 1506u);
  const auto last_client = std::find(order.rbegin(), order.rend(), Lane::kClient);
  EXPECT_LT(order.rend() - last_client, 15);
}

}  // namespace
}  // namespace graspd::ingest
