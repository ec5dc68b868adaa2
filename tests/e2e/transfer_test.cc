// `graspd export` and `graspd import`: real events out of and into real stores and daemons.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/line_reader.h"
#include "nostr/event_builder.h"
#include "nostr/keys.h"
#include "nostr/nip19.h"
#include "tests/e2e/relay_client.h"
#include "tests/e2e/support.h"

namespace graspd::e2e {
namespace {

using nostr::Event;
using nostr::EventBuilder;
using testing::AllOf;
using testing::HasSubstr;

// Real events of strangers: only ever with sync off, as it is in open mode.
constexpr char kOpen[] = "--policy-mode=open";
constexpr char kUnlimited[] = "--limits-events-per-second=0";

class TransferTest : public testing::Test {
 protected:
  static std::vector<Event> MakeNotes(size_t count, size_t bytes = 10) {
    static const nostr::SecretKey author = nostr::SecretKey::FromSeed("transfer");
    const uint64_t now = base::SystemClock::Instance().UnixNow();
    std::vector<Event> events;
    for (size_t i = 0; i < count; ++i) {
      events.push_back(
          EventBuilder(1, now).Content(std::to_string(i) + std::string(bytes, 'x')).Sign(author));
    }
    return events;
  }

  static std::string Bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::vector<std::string> Lines(const std::string& path) {
    auto reader = Value(base::LineReader::Open(path));
    std::vector<std::string> lines;
    while (const auto line = reader.Next()) lines.emplace_back(*line);
    EXPECT_TRUE(reader.status().ok()) << reader.status();
    return lines;
  }
  static std::set<nostr::EventId> IdsIn(const std::string& path) {
    std::set<nostr::EventId> ids;
    for (const std::string& line : Lines(path)) ids.insert(Value(nostr::ParseEvent(line)).id);
    return ids;
  }
  std::string WriteFile(const std::string& name, const std::vector<Event>& events) const {
    std::ofstream file(dir_ / name);
    for (const Event& event : events) file << nostr::EventJson(event) << "\n";
    return dir_ / name;
  }

  [[nodiscard]] std::string Store(const std::string& name) const {
    return "--store=lmdb:" + dir_ / name;
  }
  Outcome Import(const std::string& store, const std::string& file,
                 std::vector<std::string> flags = {}) const {
    flags.insert(flags.end(), {"import", file, Store(store), kOpen});
    return RunGraspd(flags);
  }
  /// Exports to the file `name` and returns its path.
  std::string Export(const std::string& store, const std::string& name) const {
    const Outcome outcome = RunGraspd({"export", Store(store), "--output", dir_ / name});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return dir_ / name;
  }

  const TempDir dir_;
};

TEST_F(TransferTest, RealEventsComeBackByteForByte) {
  const Outcome first = Import("first", std::string(TEST_DATA) + "/real-events.jsonl.gz");
  EXPECT_EQ(first.exit_code, 0) << first.err;
  const std::string plain = Export("first", "first.jsonl");
  EXPECT_GT(Lines(plain).size(), 5000u);

  const Outcome second = Import("second", plain, {"--strict"});
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr(" 0 refused"));
  EXPECT_EQ(Bytes(plain), Bytes(Export("second", "second.jsonl")));

  const std::string compressed = Export("second", "second.jsonl.gz");
  EXPECT_LT(Bytes(compressed).size(), Bytes(plain).size() / 2);
  EXPECT_EQ(Lines(compressed), Lines(plain));
  const Outcome to_stdout = RunGraspd({"export", Store("second")});
  EXPECT_EQ(to_stdout.out, Bytes(plain));
}

TEST_F(TransferTest, EachRefusedLineIsNamed) {
  auto events = MakeNotes(3);
  events[1].sig.bytes[5] ^= 1;
  const std::string file = WriteFile("file", events);
  std::ofstream(file, std::ios::app) << "nonsense\n";
  for (const bool strict : {false, true}) {
    const Outcome outcome = Import(
        "store", file, strict ? std::vector<std::string>{"--strict"} : std::vector<std::string>());
    EXPECT_EQ(outcome.exit_code, strict ? 1 : 0);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(file + ":2: " + events[1].id.ToHex() +
                                             ": invalid: bad signature\n"),
                                   HasSubstr(file + ":4: -: invalid: "), HasSubstr(" 2 refused")));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
  }
  EXPECT_EQ(Lines(Export("store", "out")).size(), 2u);
}

// What belongs to a repository is judged as if it came from a client, in whatever order the file
// has it.
TEST_F(TransferTest, ThePolicyHoldsAndTheOrderOfTheFileDoesNotMatter) {
  const nostr::SecretKey author = nostr::SecretKey::FromSeed("transfer");
  const uint64_t now = base::SystemClock::Instance().UnixNow();
  const auto npub = nostr::EncodeNpub(author.public_key());
  const Event announcement = EventBuilder(30617, now)
                                 .Tag({"d", "repo"})
                                 .Tag({"relays", "wss://relay.test"})
                                 .Tag({"clone", "https://relay.test/" + npub + "/repo.git"})
                                 .Sign(author);
  const std::string address = "30617:" + author.public_key().ToHex() + ":repo";
  const Event issue = EventBuilder(1621, now).Tag({"a", address}).Sign(author);
  const Event comment = EventBuilder(1111, now).Tag({"e", issue.id.ToHex()}).Sign(author);
  const Event stranger = EventBuilder(1, now).Content("no").Sign(author);
  const std::string file = WriteFile("file", {comment, stranger, issue, announcement});
  const Outcome outcome =
      RunGraspd({"import", file, Store("store"), "--relay-urls=wss://relay.test"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("3 stored"), HasSubstr("1 refused"),
                                 HasSubstr(stranger.id.ToHex() + ": restricted: ")));
  EXPECT_EQ(IdsIn(Export("store", "out")), IdsOf({announcement, issue, comment}));
}

TEST_F(TransferTest, AFullStoreEndsTheImportAndWhatWasStoredStays) {
  const std::string file = WriteFile("file", MakeNotes(300, 20'000));
  const Outcome full = Import("store", file, {"--lmdb-map-size=2MiB"});
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_THAT(full.err, AllOf(HasSubstr("import failed: " + file + ":"), HasSubstr("MAP_FULL")));
  const Outcome again = Import("store", file, {"--strict"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(Lines(Export("store", "out")).size(), 300u);
}

TEST_F(TransferTest, AStoreThatADaemonHoldsIsImportedIntoThroughItsPort) {
  const Graspd daemon(
      dir_, "daemon",
      {Store("store"), kOpen, "--limits-events-per-second=100", "--limits-events-burst=100"});
  const auto events = MakeNotes(300);
  const std::string file = WriteFile("file", events);

  const Outcome locked = Import("store", file);
  EXPECT_EQ(locked.exit_code, 1);
  EXPECT_THAT(locked.err, AllOf(HasSubstr("in use by process"), HasSubstr("--url")));

  // More than the relay takes at once: it asks to slow down, and nothing is lost.
  const Outcome through = RunGraspd({"import", file, "--strict", "--url", daemon.relay_url()});
  EXPECT_EQ(through.exit_code, 0) << through.err;
  EXPECT_THAT(through.err, HasSubstr("300 read, 300 stored, 0 known or older, 0 refused"));
  EXPECT_EQ(IdsIn(Export("store", "out")), IdsOf(events)) << "while the daemon runs";
}

// The relay would hang up on who sends it so many that are wrong, in either way.
TEST_F(TransferTest, ManyRefusedLinesAreReportedEachAndWhatFollowsIsImported) {
  const Graspd daemon(dir_, "daemon", {Store("store"), kOpen, kUnlimited, "--limits-event-tags=5"});
  auto forged = MakeNotes(1000);
  for (auto& event : forged) event.sig.bytes[40] ^= 1;
  std::vector<nostr::Event> lines = forged;
  for (int i = 0; i < 300; ++i) {
    nostr::EventBuilder builder(1, 1000);
    for (int tag = 0; tag < 6; ++tag) builder.Tag({"t", std::to_string(i)});
    lines.push_back(builder.Sign(nostr::SecretKey::FromSeed("author")));
  }
  const auto honest = MakeNotes(1100);
  lines.insert(lines.end(), honest.begin() + 1000, honest.end());
  const Outcome outcome =
      RunGraspd({"import", WriteFile("file", lines), "--url", daemon.relay_url()});
  // What is sent again after it has hung up all the same may be known by then.
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("1400 read"), HasSubstr(", 1300 refused")));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1301) << "a line for each";
  EXPECT_EQ(AllStored(daemon.relay_url()), IdsOf({honest.begin() + 1000, honest.end()}));
}

TEST_F(TransferTest, ARestartOfTheDaemonInBetweenLosesNothing) {
  const std::vector<std::string> slow = {Store("store"), kOpen, "--limits-events-per-second=100",
                                         "--limits-events-burst=20"};
  auto daemon = std::make_unique<Graspd>(dir_, "first", slow);
  const std::string address = daemon->relay();
  const auto events = MakeNotes(300);
  const auto import =
      Spawn({GRASPD, "import", WriteFile("file", events), "--strict", "--url", daemon->relay_url()},
            dir_ / "import.log");
  ASSERT_TRUE(Eventually([&] { return AllStored("ws://" + address).size() > 30; }));
  daemon->Kill();
  const Graspd second(dir_, "second",
                      {Store("store"), kOpen, kUnlimited, "--relay-listen=" + address});
  EXPECT_EQ(Value(import->Wait(kPatience)), 0) << Bytes(dir_ / "import.log");
  EXPECT_EQ(AllStored(second.relay_url()), IdsOf(events));
}

TEST_F(TransferTest, NobodyListeningIsSaidAtOnce) {
  const Outcome outcome =
      RunGraspd({"import", WriteFile("file", MakeNotes(1)), "--url", "ws://127.0.0.1:1"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("cannot reach ws://127.0.0.1:1"));
}

TEST_F(TransferTest, AnInterruptedImportKeepsWhatItHasStoredAndSaysSo) {
  const Graspd daemon(
      dir_, "daemon",
      {"--store=memory:", kOpen, "--limits-events-per-second=20", "--limits-events-burst=20"});
  const auto events = MakeNotes(2000);
  const auto import = Spawn(
      {GRASPD, "import", WriteFile("file", events), "--url", daemon.relay_url()}, dir_ / "log");
  ASSERT_TRUE(Eventually([&] { return !AllStored(daemon.relay_url()).empty(); }));
  import->Signal(SIGINT);
  EXPECT_EQ(Value(import->Wait(kPatience)), 1);
  EXPECT_THAT(Bytes(dir_ / "log"), AllOf(HasSubstr("interrupted"), HasSubstr(" stored, ")));
}

TEST_F(TransferTest, AnExportUnderLoadHasEverythingThatWasAcknowledgedBefore) {
  const Graspd daemon(dir_, "daemon", {Store("store"), kOpen, kUnlimited});
  const auto events = MakeNotes(4000);
  RelayClient client(daemon.relay_url());
  client.Send(events);
  ASSERT_TRUE(client.Await([](const auto& heard) { return heard.oks.size() >= 500; }));
  std::set<nostr::EventId> acknowledged;
  for (const auto& [id, ok] : client.heard().oks) acknowledged.insert(id);
  const std::string file = Export("store", "out");
  const auto exported = IdsIn(file);
  EXPECT_TRUE(
      std::includes(exported.begin(), exported.end(), acknowledged.begin(), acknowledged.end()));
  EXPECT_LT(acknowledged.size(), events.size()) << "there was no load any more";
  EXPECT_EQ(Import("copy", file, {"--strict"}).exit_code, 0);
  EXPECT_EQ(IdsIn(Export("copy", "again")), exported);
  ASSERT_TRUE(client.Await([&](const auto& heard) { return heard.oks.size() == events.size(); }));
  EXPECT_EQ(IdsIn(Export("store", "all")), IdsOf(events));
}

}  // namespace
}  // namespace graspd::e2e
