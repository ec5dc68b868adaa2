// lmdb_writer DIRECTORY FIRST: stores events FIRST, FIRST+1... in batches of 1 to 9 and prints the
// number of each one that was acknowledged, until it is killed. For lmdb_faults_test.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "storage/lmdb/lmdb_store.h"
#include "tests/conformance/event_store_suite.h"
#include "tests/conformance/numbered_events.h"

int main(int argc, char** argv) {
  using namespace graspd::storage;
  if (argc != 3) return 2;
  auto store =
      OpenLmdbStore({.directory = argv[1], .map_bytes = size_t{1} << 30, .pending_entries = 60});
  if (!store.ok()) {
    std::cerr << store.status() << '\n';
    return 1;
  }
  TestJudge judge;
  uint64_t next = std::strtoull(argv[2], nullptr, 10);
  for (;;) {
    const auto events = NumberedBatch(next);
    std::string acknowledged;
    for (size_t i = 0; i < events.size(); ++i) acknowledged += std::to_string(next++) + '\n';
    const auto result = (*store)->Write(Requests(events), judge, kNow);
    if (!result.ok()) {
      std::cerr << result.status() << '\n';
      return 1;
    }
    if (write(STDOUT_FILENO, acknowledged.data(), acknowledged.size()) < 0) return 0;
  }
}
