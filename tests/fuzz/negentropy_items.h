// Sets of items for the negentropy targets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nostr/keys.h"
#include "nostr/negentropy/item_set.h"
#include "tests/fuzz/fuzz.h"

namespace graspd::fuzz {

/// The same for the same arguments. Many items share their time if `span` is small.
inline negentropy::Item MakeItem(size_t number, uint64_t span) {
  static std::vector<nostr::EventId> ids;  // made once: hashes would take most of a run
  while (ids.size() <= number) ids.push_back({nostr::Sha256(std::to_string(ids.size()))});
  return {1'700'000'000 + number % (span + 1), ids[number]};
}

/// A set of up to 255 times `step` items, made from two bytes of the input.
inline std::shared_ptr<const negentropy::SealedSet> TakeSet(Input& input, size_t step) {
  const size_t count = input.Byte() * step;
  const uint64_t span = input.Byte();
  std::vector<negentropy::Item> items;
  for (size_t i = 0; i < count; ++i) items.push_back(MakeItem(i, span));
  return std::make_shared<const negentropy::SealedSet>(std::move(items));
}

}  // namespace graspd::fuzz
