// The strict JSON reader against another implementation.
#include <string>

#include "nostr/json_reader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reference_json.h"

namespace graspd::fuzz {
namespace {

using nostr::json::Value;

absl::Status Walk(std::string_view text) {
  nostr::json::Document document(text);
  nostr::json::Array root;
  GRASPD_RETURN_IF_ERROR(document.Root(root));
  GRASPD_RETURN_IF_ERROR(
      nostr::json::ForEachElement(root, [](Value value) { return nostr::json::Skip(value, 1); }));
  return document.Finish();
}

// Refused by us on purpose although it is JSON.
bool IsOurOwnRule(const absl::Status& status) {
  return status.message() == "duplicate key in an object" ||
         status.message() == "nested too deeply";
}

// Numbers whose exponent has many digits are JSON, but Boost has no room for them.
bool MayHoldHugeNumber(std::string_view text) {
  return text.find_first_of("eE") != std::string_view::npos;
}

}  // namespace

FUZZ_TARGET(json) {
  const std::string text = "[" + std::string(bytes) + "]";
  const absl::Status status = Walk(text);
  const bool reference = ReferenceParse(text).has_value();
  if (status.ok()) FUZZ_CHECK(reference || MayHoldHugeNumber(text));
  if (!status.ok() && !IsOurOwnRule(status)) FUZZ_CHECK(!reference);
}

}  // namespace graspd::fuzz
