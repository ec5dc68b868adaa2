#pragma once

#include <memory>

#include "storage/event_store.h"

namespace graspd::storage {

/// The whole contract of EventStore in memory, lost at exit: for tests and for trying things out.
std::unique_ptr<EventStore> OpenMemoryStore();

}  // namespace graspd::storage
