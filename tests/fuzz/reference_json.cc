#include "tests/fuzz/reference_json.h"

#include <boost/json/parse.hpp>

namespace graspd::fuzz {

std::optional<boost::json::value> ReferenceParse(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = 64;
  boost::json::error_code error;
  auto value = boost::json::parse({text.data(), text.size()}, error, {}, options);
  if (error) return std::nullopt;
  return value;
}

bool IsMessage(std::string_view text, std::string_view type) {
  const auto value = ReferenceParse(text);
  if (!value || !value->is_array() || value->get_array().empty()) return false;
  const auto* first = value->get_array()[0].if_string();
  return first != nullptr && std::string_view(first->data(), first->size()) == type;
}

}  // namespace graspd::fuzz
