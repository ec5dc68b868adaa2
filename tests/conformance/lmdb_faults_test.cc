// Faults of the machine below LMDB: kills, syncs that fail, disks and maps that are full.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string_view>

#include "base/random.h"
#include "gmock/gmock.h"
#include "storage/lmdb/env.h"
#include "storage/lmdb/fill_watch.h"
#include "storage/lmdb/indexer.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/lmdb_store.h"
#include "storage/lmdb/txn.h"
#include "tests/conformance/event_store_suite.h"
#include "tests/conformance/lmdb_consistency.h"
#include "tests/conformance/numbered_events.h"
#include "tests/required.h"
#include "tests/small_disk.h"

namespace {
std::atomic<int> syncs{0};
std::atomic<bool> syncs_fail{false};
}  // namespace

// Takes the place of libc's for the whole test binary, LMDB included.
extern "C" int fdatasync(int fd) {
  ++syncs;
  if (!syncs_fail) return static_cast<int>(syscall(SYS_fdatasync, fd));
  errno = EIO;
  return -1;
}

namespace graspd::storage {
namespace {

using testing::HasSubstr;

absl::StatusOr<std::unique_ptr<EventStore>> OpenStore(const std::string& directory,
                                                      size_t map_bytes = size_t{1} << 30) {
  return OpenLmdbStore({.directory = directory, .map_bytes = map_bytes});
}

absl::Status WriteOne(EventStore& store, const nostr::Event& event) {
  TestJudge judge;
  return store.Write(Requests({event}), judge, kNow).status();
}

uint64_t CountAll(EventStore& store) {
  const auto count = store.Count({nostr::Filter{}}, kNow, nullptr);
  EXPECT_TRUE(count.ok()) << count.status();
  return count.value_or(UINT64_MAX);
}

/// A running lmdb_writer. Killed at the latest when destroyed.
class Writer {
 public:
  Writer(const std::string& directory, uint64_t first) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string program = LMDB_WRITER, path = directory, number = std::to_string(first);
    char* const arguments[] = {program.data(), path.data(), number.data(), nullptr};
    if (posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ) != 0) abort();
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = fdopen(ends[0], "r");
  }
  ~Writer() {
    Kill();
    fclose(output_);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// The next acknowledged number; nothing once the writer is gone and all is read.
  std::optional<uint64_t> Next() {
    char line[32];
    if (fgets(line, sizeof(line), output_) == nullptr) return std::nullopt;
    return std::strtoull(line, nullptr, 10);
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  FILE* output_ = nullptr;
};

/// Lets a writer run, kills it, and adds what it had acknowledged.
void WriteAndKill(const std::string& directory, uint64_t first, uint64_t wait,
                  std::set<uint64_t>& acknowledged) {
  Writer writer(directory, first);
  std::optional<uint64_t> number;
  for (; wait > 0; --wait) {
    number = writer.Next();
    ASSERT_TRUE(number) << "the writer ended by itself";
    acknowledged.insert(*number);
  }
  writer.Kill();
  while ((number = writer.Next())) acknowledged.insert(*number);
}

// 200 kills, or GRASPD_KILLS: the rounds of one store go on from what the one before has left.
TEST(LmdbFaults, KilledAtAnyMomentEveryAcknowledgedEventIsStoredAndIndexed) {
  constexpr int kRounds = 10;
  const char* kills = std::getenv("GRASPD_KILLS");
  const int stores = (kills != nullptr ? std::atoi(kills) : 200) / kRounds;
  ASSERT_GT(stores, 0);
  base::SeededRandom random(20);
  for (int n = 0; n < stores; ++n) {
    TempDirectory directory;
    std::set<uint64_t> acknowledged;
    for (int round = 1; round <= kRounds; ++round) {
      SCOPED_TRACE("store " + std::to_string(n) + ", round " + std::to_string(round));
      ASSERT_NO_FATAL_FAILURE(
          WriteAndKill(directory.path(), 1'000'000 * round, 1 + random.Below(20), acknowledged));
      const absl::Status consistent = CheckConsistency(directory.path());
      ASSERT_TRUE(consistent.ok()) << consistent;
      const auto store = OpenStore(directory.path());
      ASSERT_TRUE(store.ok()) << store.status();
      const absl::Status found = FindAcknowledged(**store, acknowledged);
      ASSERT_TRUE(found.ok()) << found;
    }
  }
}

TEST(LmdbFaults, TheConsistencyCheckFindsWhatIsMissingAndWhatIsTooMuch) {
  using Spoil = std::function<absl::Status(const Tables&, WriteTxn&)>;
  const std::string place = TimeIdKey(100, Id(1));
  const std::string value = IndexValue{ChangeNumber({1}, 0), 1, false}.Encode();
  const std::vector<Spoil> spoils = {
      [](const Tables& t, WriteTxn& txn) {
        return txn.Delete(t.addresses, AddressKey({0, Author(1), ""})).status();
      },
      [](const Tables& t, WriteTxn& txn) {
        return txn.Put(t.ids, Id(7).view(), ChangeNumber({1}, 9).Key());
      },
      [](const Tables& t, WriteTxn& txn) {
        return txn.Put(t.expirations, "0123456789abcdef", "x");
      },
      [&](const Tables& t, WriteTxn& txn) {
        return txn.Put(t.by_kind, IndexPrefix(Index::kKind, 9) + place, value);
      },
      [&](const Tables& t, WriteTxn& txn) { return txn.Put(t.by_time, place, "else"); },
      // What the tables are said to hold is not there.
      [](const Tables& t, WriteTxn& txn) {
        const std::string all = ChangeNumber({2}, 0).Key();
        return txn.Put(t.meta, "indexed", all + all);
      }};
  for (size_t i = 0; i <= spoils.size(); ++i) {
    TempDirectory directory;
    {
      const auto store = OpenStore(directory.path());
      ASSERT_TRUE(store.ok()) << store.status();
      ASSERT_TRUE(WriteOne(**store, MakeEvent(1, 1, 100, {{"t", "x"}})).ok());
      ASSERT_TRUE(WriteOne(**store, MakeEvent(2, 0, 100)).ok());
    }
    if (i < spoils.size()) {
      const auto env = Env::Open({.directory = directory.path(), .map_bytes = size_t{1} << 30});
      ASSERT_TRUE(env.ok()) << env.status();
      auto txn = WriteTxn::Begin(**env);
      ASSERT_TRUE(txn.ok() && spoils[i]((*env)->tables(), *txn).ok() && txn->Commit().ok());
    }
    EXPECT_EQ(CheckConsistency(directory.path()).ok(), i == spoils.size()) << i;
  }
}

TEST(LmdbFaults, SecondProcessIsTurnedAwayWithThePidOfTheFirst) {
  TempDirectory directory;
  Writer writer(directory.path(), 1);
  ASSERT_TRUE(writer.Next());
  const auto store = OpenStore(directory.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(store.status().ToString(), HasSubstr(std::to_string(writer.pid())));
  writer.Kill();
  EXPECT_TRUE(OpenStore(directory.path()).ok());
}

TEST(LmdbFaults, SecondOpeningInTheSameProcessIsTurnedAway) {
  TempDirectory directory;
  const auto first = OpenStore(directory.path());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(OpenStore(directory.path()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(LmdbFaults, ReadOnlyOpeningFollowsTheProcessThatWritesAndRefusesEveryWrite) {
  TempDirectory directory;
  Writer writer(directory.path(), 1);
  ASSERT_TRUE(writer.Next());
  const auto store = OpenLmdbStore({.directory = directory.path(), .read_only = true});
  ASSERT_TRUE(store.ok()) << store.status();
  for (int round = 0; round < 3; ++round) {
    std::optional<uint64_t> number;
    do number = writer.Next();
    while (number && *number % 4 == 0);  // those are replaced soon
    ASSERT_TRUE(number);
    nostr::Filter filter;
    filter.ids = {Id(*number)};
    EXPECT_EQ(*(*store)->Count({filter}, kNow, nullptr), 1u);
  }

  constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
  EXPECT_EQ(WriteOne(**store, MakeEvent(1'000'000, 1, 100)).code(), kRefused);
  EXPECT_EQ((*store)->RemoveExpired(kNow, 10).status().code(), kRefused);
  EXPECT_EQ((*store)->CompareAndSet("key", 0, "value").status().code(), kRefused);
  EXPECT_TRUE((*store)->Health().ok()) << "a refusal is no failure of the store";
}

TEST(LmdbFaults, ReadOnlyOpeningOfNothingIsNotFoundAndLeavesNothing) {
  TempDirectory directory;
  const LmdbOptions absent{.directory = directory.path() + "/absent", .read_only = true};
  EXPECT_EQ(OpenLmdbStore(absent).status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(access(absent.directory.c_str(), F_OK), 0);
}

// Its snapshot would keep every page that is freed later from being used again.
TEST(LmdbFaults, PlaceOfAReaderThatWasKilledIsFreed) {
  TempDirectory directory;
  ASSERT_TRUE(OpenStore(directory.path()).ok());
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t reader = fork();
  if (reader == 0) {
    const auto env = Env::Open({.directory = directory.path(), .read_only = true});
    const auto txn = ReadTxn::Begin(**env);
    if (write(ready[1], "r", 1) == 1) pause();
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const auto env = Env::Open({.directory = directory.path(), .map_bytes = size_t{1} << 30});
  ASSERT_TRUE(env.ok()) << env.status();
  kill(reader, SIGKILL);
  waitpid(reader, nullptr, 0);
  EXPECT_TRUE((*env)->ForgetDeadReaders().ok());
  int dead = 0;
  EXPECT_EQ(mdb_reader_check((*env)->handle(), &dead), 0);
  EXPECT_EQ(dead, 0) << "still there";
  close(ready[0]);
  close(ready[1]);
}

TEST(LmdbFaults, FullMapRefusesTheBatchAndNothingElse) {
  TempDirectory directory;
  auto store = OpenStore(directory.path(), 1 << 20);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(WriteOne(**store, MakeEvent(1, 0, 100)).ok());
  const FeedPosition before = (*store)->Position();

  std::vector<nostr::Event> large = {MakeEvent(2, 0, 200)};  // would replace the first
  for (uint64_t n = 3; n < 10; ++n) {
    large.push_back(MakeEvent(n, 1, 100, {}, 1, std::string(200'000, 'x')));
  }
  TestJudge judge;
  const auto refused = (*store)->Write(Requests(large), judge, kNow);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted) << refused.status();
  EXPECT_EQ((*store)->Health().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ((*store)->Position(), before);
  EXPECT_EQ(CountAll(**store), 1u);
  nostr::Filter first;
  first.ids = {Id(1)};
  EXPECT_EQ(*(*store)->Count({first}, kNow, nullptr), 1u);

  // A commit that had nothing to write shows nothing about room.
  EXPECT_TRUE((*store)->RemoveExpired(kNow, 10).ok());
  EXPECT_EQ((*store)->Health().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(WriteOne(**store, MakeEvent(20, 1, 100)).ok());
  EXPECT_TRUE((*store)->Health().ok());

  store->reset();
  store = OpenStore(directory.path(), 1 << 24);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->Write(Requests(large), judge, kNow).ok());
  EXPECT_EQ(CountAll(**store), 9u);
}

TEST(LmdbFaults, StatsTellHowFullTheMapIs) {
  TempDirectory directory;
  auto store = OpenStore(directory.path(), 1 << 20);
  ASSERT_TRUE(store.ok()) << store.status();
  const auto before = *(*store)->GetStats();
  ASSERT_TRUE(WriteOne(**store, MakeEvent(1, 1, 100, {}, 1, std::string(200'000, 'x'))).ok());
  const auto after = *(*store)->GetStats();
  EXPECT_EQ(after.capacity, 1u << 20);
  EXPECT_GE(after.bytes, before.bytes + 200'000);
  EXPECT_EQ(after.pending_entries, 4u);
}

TEST(LmdbFaults, FillWatchSpeaksOncePerMark) {
  FillWatch watch;
  EXPECT_EQ(watch.Passed(79, 100), std::nullopt);
  EXPECT_EQ(watch.Passed(80, 100), 80u);
  EXPECT_EQ(watch.Passed(94, 100), std::nullopt);
  EXPECT_EQ(watch.Passed(96, 100), 95u);
  EXPECT_EQ(watch.Passed(99, 100), std::nullopt);
  EXPECT_EQ(watch.Passed(10, 100), std::nullopt);
  EXPECT_EQ(watch.Passed(97, 100), 95u);
}

class LmdbOnSmallDisk : public testing::TestWithParam<const char*> {};

TEST_P(LmdbOnSmallDisk, RefusesWritesWhenItIsFullUntilSpaceReturns) {
  const bool ext4 = std::string_view(GetParam()) == "ext4";
  const TempDirectory directory;
  const tests::SmallDisk disk(GetParam(), directory.path(), 5);
  if (!disk.mounted()) {
    const bool required =
        tests::IsRequired(ext4 ? "GRASPD_REQUIRE_EXT4" : "GRASPD_REQUIRE_INTEROP");
    if (required) FAIL() << "may not mount a small file system";
    GTEST_SKIP() << "may not mount a small file system";
  }
  {
    const std::string ballast = disk.path() + "/ballast";
    std::ofstream(ballast) << std::string(2 << 20, 'x');
    auto store = OpenStore(disk.path() + "/db");
    ASSERT_TRUE(store.ok()) << store.status();
    uint64_t stored = 0;
    absl::Status status;
    while (stored < 1000) {
      status = WriteOne(**store, MakeEvent(stored, 1, 100, {}, 1, std::string(20'000, 'x')));
      if (!status.ok()) break;
      ++stored;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_GT(stored, 0u);
    EXPECT_EQ(CountAll(**store), stored);
    EXPECT_EQ((*store)->Health().code(), absl::StatusCode::kResourceExhausted);

    std::remove(ballast.c_str());
    status = WriteOne(**store, MakeEvent(stored, 1, 100, {}, 1, std::string(20'000, 'x')));
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(CountAll(**store), stored + 1);
    EXPECT_TRUE((*store)->Health().ok());
  }
  const absl::Status consistent = CheckConsistency(disk.path() + "/db");
  EXPECT_TRUE(consistent.ok()) << consistent;
  const auto again = OpenStore(disk.path() + "/db");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_GT(CountAll(**again), 0u);
}
INSTANTIATE_TEST_SUITE_P(All, LmdbOnSmallDisk, testing::Values("tmpfs", "ext4"),
                         [](const auto& of) { return of.param; });

TEST(LmdbFaults, EveryWriteIsSyncedBeforeItReturns) {
  TempDirectory directory;
  auto store = OpenStore(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  for (uint64_t n = 1; n <= 5; ++n) {
    const int before = syncs;
    ASSERT_TRUE(WriteOne(**store, MakeEvent(n, 1, 100)).ok());
    EXPECT_GT(syncs, before);
  }
  const int before = syncs;
  ASSERT_TRUE((*store)->CompareAndSet("key", 0, "value").ok());
  EXPECT_GT(syncs, before);
}

TEST(LmdbFaults, FailedSyncEndsWritingAndIsNeverRepeated) {
  TempDirectory directory;
  auto store = OpenStore(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE(WriteOne(**store, MakeEvent(1, 1, 100)).ok());
  syncs_fail = true;
  const absl::Status failed = WriteOne(**store, MakeEvent(2, 1, 100));
  syncs_fail = false;
  EXPECT_EQ(failed.code(), absl::StatusCode::kDataLoss) << failed;

  const int before = syncs;
  EXPECT_EQ(WriteOne(**store, MakeEvent(3, 1, 100)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*store)->CompareAndSet("key", 0, "value").status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ((*store)->RemoveExpired(kNow, 10).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(syncs, before);
  EXPECT_EQ((*store)->Health().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(CountAll(**store), 1u);

  store->reset();
  store = OpenStore(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(CountAll(**store), 1u);
}

TEST(LmdbFaults, FileThatIsNoDatabaseIsReportedAndLeftAlone) {
  TempDirectory directory;
  const std::string garbage(8192, 'g');
  std::ofstream(directory.path() + "/data.mdb") << garbage;
  EXPECT_EQ(OpenStore(directory.path()).status().code(), absl::StatusCode::kDataLoss);
  std::ifstream file(directory.path() + "/data.mdb");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), garbage);
}

TEST(LmdbFaults, NewerDataFormatIsTurnedAway) {
  TempDirectory directory;
  {
    const auto env = Env::Open({.directory = directory.path(), .map_bytes = 1 << 20});
    ASSERT_TRUE(env.ok()) << env.status();
    auto txn = WriteTxn::Begin(**env);
    ASSERT_TRUE(txn.ok());
    std::string format;
    PutUint64(format, 99);
    ASSERT_TRUE(txn->Put((*env)->tables().meta, "format", format).ok());
    ASSERT_TRUE(txn->Commit().ok());
  }
  const auto store = OpenStore(directory.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(store.status().ToString(), HasSubstr("format 99"));
  EXPECT_THAT(store.status().ToString(), HasSubstr("up to 2"));
}

TEST(LmdbFaults, MissingRowIsDataLossAndEndsWriting) {
  TempDirectory directory;
  auto env = Env::Open({.directory = directory.path(), .map_bytes = 1 << 20});
  ASSERT_TRUE(env.ok()) << env.status();
  {
    auto txn = WriteTxn::Begin(**env);
    ASSERT_TRUE(txn.ok());
    ASSERT_TRUE(txn->Put((*env)->tables().ids, Id(1).view(), ChangeNumber({1}, 0).Key()).ok());
    ASSERT_TRUE(txn->Commit().ok());
  }
  env->reset();
  auto store = OpenStore(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->FindSignature(Id(1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(WriteOne(**store, MakeEvent(2, 1, 100)).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace graspd::storage
