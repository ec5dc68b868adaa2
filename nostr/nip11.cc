#include "nostr/nip11.h"

#include <simdjson.h>

namespace graspd::nostr {
namespace {

constexpr size_t kMaxNips = 1000;

// Zero would allow nothing at all; relays write it for "no limit".
std::optional<uint64_t> Positive(const simdjson::dom::object& object, std::string_view key) {
  uint64_t value = 0;
  if (object[key].get(value) != simdjson::SUCCESS || value == 0) return std::nullopt;
  return value;
}

}  // namespace

absl::StatusOr<RelayInformation> ParseRelayInformation(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object document;
  if (parser.parse(json.data(), json.size()).get(document) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("the information document is not a JSON object");
  }
  RelayInformation information;
  if (simdjson::dom::array nips; document["supported_nips"].get(nips) == simdjson::SUCCESS) {
    for (const auto element : nips) {
      uint64_t nip = 0;
      if (element.get(nip) == simdjson::SUCCESS && information.supported_nips.size() < kMaxNips) {
        information.supported_nips.push_back(nip);
      }
    }
  }
  simdjson::dom::object limitation;
  if (document["limitation"].get(limitation) != simdjson::SUCCESS) return information;
  information.max_message_length = Positive(limitation, "max_message_length");
  information.max_subscriptions = Positive(limitation, "max_subscriptions");
  information.max_filters = Positive(limitation, "max_filters");
  information.max_limit = Positive(limitation, "max_limit");
  bool required = false;
  information.auth_required =
      limitation["auth_required"].get(required) == simdjson::SUCCESS && required;
  return information;
}

}  // namespace graspd::nostr
