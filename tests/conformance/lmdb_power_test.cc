// Loss of power: what was acknowledged is there afterwards, whatever the disk made of the rest.
#include <dlfcn.h>
#include <lmdb.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "base/random.h"
#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "storage/lmdb/lmdb_store.h"
#include "tests/conformance/event_store_suite.h"
#include "tests/conformance/lmdb_consistency.h"
#include "tests/conformance/numbered_events.h"
#include "tests/conformance/recorded_disk.h"

namespace {
bool no_sync = false;
}  // namespace

// Takes the place of LMDB's own, for the store that does not sync.
extern "C" int mdb_env_open(MDB_env* env, const char* path, unsigned int flags, mdb_mode_t mode) {
  using Open = int (*)(MDB_env*, const char*, unsigned int, mdb_mode_t);
  static const auto real = reinterpret_cast<Open>(dlsym(RTLD_NEXT, "mdb_env_open"));
  return real(env, path, no_sync ? flags | MDB_NOSYNC : flags, mode);
}

namespace graspd::storage {
namespace {

constexpr int kStores = 20, kBatchesPerStore = 40;

// Few pending entries, so that index entries are moved into their tables all the time.
absl::StatusOr<std::unique_ptr<EventStore>> OpenStore(const std::string& directory) {
  return OpenLmdbStore(
      {.directory = directory, .map_bytes = size_t{1} << 30, .pending_entries = 60});
}

std::string DataFile(const std::string& directory) { return directory + "/data.mdb"; }

int CutsPerStore() {
  const char* cuts = std::getenv("GRASPD_POWER_CUTS");
  return (cuts != nullptr ? std::atoi(cuts) : 200) / kStores;
}

absl::Status WriteBatches(EventStore& store, RecordedDisk& disk) {
  TestJudge judge;
  uint64_t next = 1;
  for (int batch = 0; batch < kBatchesPerStore; ++batch) {
    const auto events = NumberedBatch(next);
    GRASPD_RETURN_IF_ERROR(store.Write(Requests(events), judge, kNow).status());
    for (size_t i = 0; i < events.size(); ++i) disk.Acknowledge(next++);
  }
  return absl::OkStatus();
}

// What somebody finds who starts graspd on that file.
absl::Status CheckImage(const std::string& image, const std::set<uint64_t>& acknowledged) {
  TempDirectory directory;
  std::ofstream(DataFile(directory.path()), std::ios::binary) << image;
  GRASPD_RETURN_IF_ERROR(CheckConsistency(directory.path()));
  GRASPD_ASSIGN_OR_RETURN(const auto store, OpenStore(directory.path()));
  GRASPD_RETURN_IF_ERROR(FindAcknowledged(*store, acknowledged));
  TestJudge judge;
  const auto more = NumberedBatch(1'000'000'001);
  GRASPD_RETURN_IF_ERROR(store->Write(Requests(more), judge, kNow).status());
  return FindAcknowledged(*store, acknowledged);
}

struct Cuts {
  int all = 0, lossy = 0;
  std::string first_loss;
};

// Fills a store and cuts the power at random moments of that.
void CutPower(uint64_t seed, Cuts& cuts) {
  base::SeededRandom random(seed);
  TempDirectory directory;
  const auto store = OpenStore(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  RecordedDisk disk(DataFile(directory.path()));
  const absl::Status written = WriteBatches(**store, disk);
  ASSERT_TRUE(written.ok()) << written;
  for (int cut = 0; cut < CutsPerStore(); ++cut) {
    const size_t steps = random.Below(disk.steps() + 1);
    const auto acknowledged = disk.AcknowledgedIn(steps);
    const absl::Status status = CheckImage(disk.AfterPowerLoss(steps, random), acknowledged);
    ++cuts.all;
    if (status.ok()) continue;
    if (cuts.lossy++ > 0) continue;
    cuts.first_loss = "seed " + std::to_string(seed) + ", step " + std::to_string(steps) + " of " +
                      std::to_string(disk.steps()) + ": " + status.ToString();
  }
}

TEST(LmdbPower, WhatWasAcknowledgedOutlivesALossOfPowerAtAnyMoment) {
  Cuts cuts;
  for (uint64_t seed = 1; seed <= kStores; ++seed) ASSERT_NO_FATAL_FAILURE(CutPower(seed, cuts));
  EXPECT_GE(cuts.all, 200);
  EXPECT_EQ(cuts.lossy, 0) << cuts.first_loss;
}

TEST(LmdbPower, AStoreThatDoesNotSyncIsFoundOut) {
  no_sync = true;
  Cuts cuts;
  ASSERT_NO_FATAL_FAILURE(CutPower(1, cuts));
  no_sync = false;
  EXPECT_GT(cuts.lossy, 0) << "of " << cuts.all;
}

}  // namespace
}  // namespace graspd::storage
