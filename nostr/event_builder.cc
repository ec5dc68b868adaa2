#include "nostr/event_builder.h"

namespace graspd::nostr {

EventBuilder::EventBuilder(Kind kind, uint64_t created_at) {
  draft_.kind = kind;
  draft_.created_at = created_at;
}

EventBuilder& EventBuilder::Tag(std::initializer_list<std::string_view> elements) {
  draft_.tags.Add(elements);
  return *this;
}

EventBuilder& EventBuilder::Tag(std::span<const std::string> elements) {
  for (const auto& element : elements) draft_.tags.AddElement(element);
  draft_.tags.EndTag();
  return *this;
}

EventBuilder& EventBuilder::Content(std::string_view content) {
  draft_.content = content;
  return *this;
}

Event EventBuilder::Sign(const SecretKey& key) const {
  Event event = draft_;
  event.pubkey = key.public_key();
  event.id = ComputeId(event);
  event.sig = key.Sign(event.id.bytes);
  return event;
}

}  // namespace graspd::nostr
