#include "storage/memory/memory_store.h"
#include "tests/conformance/event_store_suite.h"

namespace graspd::storage {
namespace {

const Backend kMemory{"memory", [](const std::string&) { return OpenMemoryStore(); }};
INSTANTIATE_TEST_SUITE_P(Memory, EventStoreSuite, testing::Values(kMemory), BackendName);

}  // namespace
}  // namespace graspd::storage
