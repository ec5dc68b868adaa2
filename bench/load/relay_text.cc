#include "bench/load/relay_text.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace graspd::bench {
namespace {

using Verb = RelayText::Verb;

constexpr std::array<std::pair<std::string_view, Verb>, 7> kVerbs = {{{"EVENT", Verb::kEvent},
                                                                      {"OK", Verb::kOk},
                                                                      {"EOSE", Verb::kEose},
                                                                      {"CLOSED", Verb::kClosed},
                                                                      {"NOTICE", Verb::kNotice},
                                                                      {"NEG-MSG", Verb::kNegMsg},
                                                                      {"NEG-ERR", Verb::kNegErr}}};

void SkipSpace(std::string_view& text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\n' || text[0] == '\t')) {
    text.remove_prefix(1);
  }
}

bool Skip(std::string_view& text, char c) {
  SkipSpace(text);
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  SkipSpace(text);
  return true;
}

// Takes a string off `text`; empty if there is none.
std::string_view TakeString(std::string_view& text) {
  if (!Skip(text, '"')) return {};
  size_t end = 0;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) return {};
  const auto out = text.substr(0, end);
  text.remove_prefix(end + 1);
  return out;
}

}  // namespace

RelayText Scan(std::string_view message) {
  RelayText out;
  if (!Skip(message, '[')) return out;
  const auto name = TakeString(message);
  if (!Skip(message, ',')) return out;
  out.label = TakeString(message);
  Skip(message, ',');
  out.rest = message;
  for (const auto& [verb_name, verb] : kVerbs) {
    if (name == verb_name) out.verb = verb;
  }
  return out;
}

// Within a string the quotes would be escaped, so these four bytes can only be a key or a whole
// string; only a key is followed by a colon.
std::string_view RelayText::event_id() const {
  constexpr std::string_view kKey = R"("id")";
  constexpr size_t kDigits = 64;
  for (size_t at = rest.find(kKey); at != rest.npos; at = rest.find(kKey, at + 1)) {
    auto text = rest.substr(at + kKey.size());
    if (!Skip(text, ':')) continue;
    const auto id = TakeString(text);
    return id.size() == kDigits ? id : std::string_view();
  }
  return {};
}

std::string_view RelayText::payload() const {
  auto text = rest;
  return TakeString(text);
}

absl::Status Unexpected(const RelayText& text) {
  switch (text.verb) {
    case Verb::kNotice:
      return absl::AbortedError(fmt::format("NOTICE from the relay: {}", text.label));
    case Verb::kClosed:
    case Verb::kNegErr:
      return absl::AbortedError(
          fmt::format("the relay ended '{}': {}", text.label, text.payload()));
    case Verb::kEvent:
    case Verb::kOk:
    case Verb::kEose:
    case Verb::kNegMsg:
    case Verb::kOther:
      break;
  }
  return absl::OkStatus();
}

}  // namespace graspd::bench
