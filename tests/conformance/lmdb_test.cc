#include "storage/lmdb/lmdb_store.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

const Backend kLmdb{"lmdb", [](const std::string& directory) {
                      return OpenLmdbStore({.directory = directory, .map_bytes = size_t{1} << 30});
                    }};
INSTANTIATE_TEST_SUITE_P(Lmdb, EventStoreSuite, testing::Values(kLmdb), BackendName);
INSTANTIATE_TEST_SUITE_P(Lmdb, DurableEventStoreSuite, testing::Values(kLmdb), BackendName);

}  // namespace
}  // namespace graspd::storage
