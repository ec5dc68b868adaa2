// A store that the program of data format 1 wrote, with 400 real events, is brought to the present
// format, whenever the process is killed meanwhile.
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "storage/lmdb/env.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/lmdb_store.h"
#include "storage/lmdb/txn.h"
#include "tests/conformance/event_store_suite.h"

namespace {
std::atomic<int> syncs_left{-1};  // negative: for ever
}  // namespace

// Takes the place of libc's for the whole test binary: where a process is killed.
extern "C" int fdatasync(int fd) {
  if (syncs_left == 0) _exit(9);
  if (syncs_left > 0) --syncs_left;
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

namespace graspd::storage {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kFixture[] = "tests/data/lmdb-format-1.mdb.gz";
constexpr uint64_t kEvents = 399, kServed = 398;  // one is past its expiration
constexpr uint64_t kLater = 1'700'001'000;

/// A copy of the fixture.
class OldStore {
 public:
  OldStore() {
    gzFile in = gzopen(kFixture, "rb");
    std::ofstream out(directory_.path() + "/data.mdb", std::ios::binary);
    std::vector<char> part(1 << 16);
    int size = 0;
    while (in != nullptr && (size = gzread(in, part.data(), 1 << 16)) > 0) {
      out.write(part.data(), size);
    }
    if (in == nullptr || gzclose(in) != Z_OK || !out.flush()) abort();
  }
  [[nodiscard]] LmdbOptions options() const {
    return {.directory = directory_.path(), .map_bytes = size_t{1} << 30, .upgrade_rows = 30};
  }
  [[nodiscard]] size_t file_bytes() const {
    return std::filesystem::file_size(directory_.path() + "/data.mdb");
  }
  /// Opens in a process of its own that is killed at its n-th sync; true if it got through.
  [[nodiscard]] bool OpenAndKillAtSync(int n) const {
    const pid_t child = fork();
    if (child == 0) {
      syncs_left = n;
      _exit(OpenLmdbStore(options()).ok() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    return WEXITSTATUS(status) == 0;
  }

 private:
  TempDirectory directory_;
};

/// The store as LMDB sees it.
class RawStore {
 public:
  explicit RawStore(const LmdbOptions& options) {
    if (mdb_env_create(&env_) != 0 || mdb_env_set_maxdbs(env_, 20) != 0 ||
        mdb_env_set_mapsize(env_, options.map_bytes) != 0 ||
        mdb_env_open(env_, options.directory.c_str(), 0, 0600) != 0) {
      abort();
    }
  }
  ~RawStore() { mdb_env_close(env_); }
  /// In a transaction of its own; LMDB's result code.
  [[nodiscard]] int Put(const char* table_name, std::string key, std::string value) const {
    MDB_txn* txn = nullptr;
    MDB_dbi table = 0;
    int code = mdb_txn_begin(env_, nullptr, 0, &txn);
    if (code != 0) return code;
    MDB_val k{key.size(), key.data()}, v{value.size(), value.data()};
    code = mdb_dbi_open(txn, table_name, 0, &table);
    if (code == 0) code = mdb_put(txn, table, &k, &v, 0);
    if (code == 0) return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
  }

 private:
  MDB_env* env_ = nullptr;
};

// What is stored, and every index's answer about it.
void ExpectWhole(EventStore& store) {
  EXPECT_EQ(store.GetStats()->events, kEvents);
  QuerySpec spec;
  spec.filters = {nostr::Filter{}};
  spec.unix_now = kLater;
  const auto rows = QueryAll(store, spec);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), kServed);
  std::map<std::pair<char, std::string>, std::set<std::string>> tagged;
  std::map<std::string, uint64_t> by_author;
  for (const Row& row : *rows) {
    const auto event = nostr::ParseEvent(row.json);
    ASSERT_TRUE(event.ok());
    ++by_author[event->pubkey.ToHex()];
    for (const nostr::Tag tag : event->tags) {
      if (tag.size() < 2 || tag.name().size() != 1 || !isalpha(tag.name()[0])) continue;
      tagged[{tag.name()[0], std::string(tag.value())}].insert(row.id.ToHex());
    }
  }
  EXPECT_GT(tagged.size(), 400u);
  for (const auto& [tag, ids] : tagged) {
    nostr::Filter filter;
    filter.tags[tag.first] = {tag.second};
    ASSERT_EQ(*store.Count({filter}, kLater, nullptr), ids.size())
        << tag.first << ' ' << tag.second;
  }
  for (const auto& [author, count] : by_author) {
    ASSERT_EQ(
        *store.Count({ParseFilterOrDie(R"({"authors":[")" + author + "\"]}")}, kLater, nullptr),
        count);
  }
  EXPECT_EQ((*store.GetKey("sync/paused/x"))->value, "wss://relay.example");
  // Id(4) was deleted with its address, for good; Id(2) has expired but is not swept.
  const nostr::EventId asked[] = {Id(2), Id(3), Id(4), Id(99)};
  EXPECT_THAT(*store.Known(asked), testing::ElementsAre(true, true, true, false));
}

void ExpectWholeAndWritable(const OldStore& old) {
  auto store = OpenLmdbStore(old.options());
  ASSERT_TRUE(store.ok()) << store.status();
  ExpectWhole(**store);
  TestJudge judge;
  const auto swept = (*store)->RemoveExpired(kLater, 10);
  ASSERT_TRUE(swept.ok()) << swept.status();
  EXPECT_EQ(swept->changes.size(), 1u);
  const auto written =
      (*store)->Write(Requests({MakeEvent(50, 1, kNow, {{"t", "fixture"}}, 9)}), judge, kNow);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*(*store)->Count({ParseFilterOrDie(R"({"#t":["fixture"]})")}, kLater, nullptr), 2u);
}

TEST(LmdbUpgrade, StoreOfFormatOneIsUpgradedAndKeepsEverything) {
  const OldStore old;
  ExpectWholeAndWritable(old);
}

TEST(LmdbUpgrade, GoesOnWhereItWasKilled) {
  const OldStore old;
  int kills = 0;
  while (!old.OpenAndKillAtSync(2)) ++kills;
  EXPECT_GT(kills, 5) << "each process did a part of it";
  ExpectWholeAndWritable(old);
}

TEST(LmdbUpgrade, GoesOnWhereItWasStopped) {
  const OldStore old;
  LmdbOptions options = old.options();
  int stops = 0;
  for (;; ++stops) {
    options.stop_upgrade = [parts = 2]() mutable { return parts-- == 0; };
    const auto store = OpenLmdbStore(options);
    if (store.ok()) break;
    ASSERT_EQ(store.status().code(), absl::StatusCode::kCancelled) << store.status();
  }
  EXPECT_GT(stops, 5) << "each opening did a part of it";
  ExpectWholeAndWritable(old);
}

TEST(LmdbUpgrade, MayBeKilledAtEverySync) {
  for (int n = 0;; ++n) {
    const OldStore old;
    const bool through = old.OpenAndKillAtSync(n);
    auto store = OpenLmdbStore(old.options());
    ASSERT_TRUE(store.ok()) << store.status();
    if (n % 10 == 0 || through) ExpectWhole(**store);
    EXPECT_EQ((*store)->GetStats()->events, kEvents);
    if (through) break;
  }
}

TEST(LmdbUpgrade, StartsAgainIfTheOldProgramWroteMeanwhile) {
  const OldStore old;
  ASSERT_FALSE(old.OpenAndKillAtSync(6));
  {
    const RawStore raw(old.options());
    std::string position;
    PutUint64(position, 1'000);
    EXPECT_EQ(raw.Put("meta", "position", position), 0);
    EXPECT_EQ(raw.Put("by_tag_keyed", "stale", "of an event that the old program removed"), 0);
  }
  ASSERT_TRUE(OpenLmdbStore(old.options()).ok());
  const auto upgraded = Env::Open(old.options());
  ASSERT_TRUE(upgraded.ok()) << upgraded.status();
  const auto read = ReadTxn::Begin(**upgraded);
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(read->Get((*upgraded)->tables().by_tag, "stale")->has_value());
}

TEST(LmdbUpgrade, FullMapIsReportedAndALargerOneGoesOn) {
  const OldStore old;
  LmdbOptions options = old.options();
  options.map_bytes = old.file_bytes();
  {
    const RawStore raw(options);
    for (int n = 0; raw.Put("keys", "fill" + std::to_string(n), std::string(1900, 'x')) == 0;) ++n;
  }
  const auto full = OpenLmdbStore(options);
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted) << full.status();
  EXPECT_THAT(full.status().ToString(), AllOf(HasSubstr("1 to 2"), HasSubstr("larger map")));
  ExpectWholeAndWritable(old);
}

TEST(LmdbUpgrade, ReadOnlyOpeningUpgradesNothing) {
  const OldStore old;
  LmdbOptions options = old.options();
  options.read_only = true;
  const auto store = OpenLmdbStore(options);
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(store.status().ToString(), AllOf(HasSubstr("format 1"), HasSubstr("format 2")));
  ExpectWholeAndWritable(old);
}

}  // namespace
}  // namespace graspd::storage
