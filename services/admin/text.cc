#include "services/admin/text.h"

#include "base/utf8.h"

namespace graspd::admin {

std::string CleanText(std::string_view text, size_t max_bytes) {
  std::string clean;
  while (!text.empty()) {
    const size_t length = base::Utf8CharacterBytes(text);
    const std::string_view character = length == 0 ? "?" : text.substr(0, length);
    if (clean.size() + character.size() > max_bytes) break;
    clean += character;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

}  // namespace graspd::admin
