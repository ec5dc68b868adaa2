#include "storage/lmdb/lmdb_store.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

const Backend kLmdb{"lmdb", [](const std::string& directory) {
                      return OpenLmdbStore({.directory = directory, .map_bytes = size_t{1} << 30});
                    }};
/// Index entries go to their tables all the time.
const Backend kHasty{
    "lmdb_without_delay", [](const std::string& directory) {
      return OpenLmdbStore(
          {.directory = directory, .map_bytes = size_t{1} << 30, .pending_entries = 20});
    }};
INSTANTIATE_TEST_SUITE_P(Lmdb, EventStoreSuite, testing::Values(kLmdb, kHasty), BackendName);
INSTANTIATE_TEST_SUITE_P(Lmdb, DurableEventStoreSuite, testing::Values(kLmdb, kHasty), BackendName);

}  // namespace
}  // namespace graspd::storage
