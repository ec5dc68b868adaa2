#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "nostr/event.h"
#include "nostr/keys.h"

namespace graspd::nostr {

/// Writes and signs events: for the sync identity, the demo, tests and benchmarks.
///
///   Event issue = EventBuilder(1621, now).Tag({"a", repo}).Content("It fails").Sign(key);
class EventBuilder {
 public:
  EventBuilder(Kind kind, uint64_t created_at);
  EventBuilder& Tag(std::initializer_list<std::string_view> elements);
  EventBuilder& Tag(std::span<const std::string> elements);
  EventBuilder& Content(std::string_view content);
  /// The finished event; the builder can go on and sign further variants.
  [[nodiscard]] Event Sign(const SecretKey& key) const;

 private:
  Event draft_;
};

}  // namespace graspd::nostr
