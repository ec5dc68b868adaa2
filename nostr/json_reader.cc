#include "nostr/json_reader.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace graspd::nostr::json {
namespace {

// Buffers that have grown past this are given back: one huge import line must not pin memory for
// ever.
constexpr size_t kKeepBytes = size_t{4} << 20;

struct ThreadBuffers {
  simdjson::ondemand::parser parser;
  std::vector<char> text;
};

std::unique_ptr<ThreadBuffers>& Buffers() {
  thread_local std::unique_ptr<ThreadBuffers> buffers;
  if (buffers == nullptr) buffers = std::make_unique<ThreadBuffers>();
  return buffers;
}

absl::Status WrongType(const char* what, const char* expected) {
  return absl::InvalidArgumentError(std::string(what) + " must be " + expected);
}

// The value of four hex digits, or -1.
int HexQuad(std::string_view digits) {
  if (digits.size() < 4) return -1;
  int value = 0;
  for (const char c : digits.substr(0, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

// The code unit that `text` escapes as \uXXXX at `at`, or -1 if it does not.
int EscapedUnit(std::string_view text, size_t at) {
  return text.substr(at, 2) == "\\u" ? HexQuad(text.substr(at + 2)) : -1;
}

// False if some \u escape is half of a surrogate pair: the parser does not check how they pair, and
// what they stand for has no UTF-8. Other faults of escapes are left to the parser.
bool SurrogatesPaired(std::string_view text) {
  for (size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at)) {
    const int unit = EscapedUnit(text, at);
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const int low = at + 6 <= text.size() ? EscapedUnit(text, at + 6) : -1;
      if (low < 0xdc00 || low > 0xdfff) return false;
      at += 12;
    } else if (unit >= 0xdc00 && unit <= 0xdfff) {
      return false;
    } else {
      at += 2;
    }
  }
  return true;
}

size_t SkipDigits(std::string_view text, size_t at) {
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  return at;
}

// JSON's grammar of numbers; their size does not matter, since nobody wants the value.
bool IsNumber(std::string_view text) {
  size_t at = text.substr(0, 1) == "-" ? 1 : 0;
  const size_t digits = at;
  at = SkipDigits(text, at);
  if (at == digits || (text[digits] == '0' && at > digits + 1)) return false;
  if (at < text.size() && text[at] == '.') {
    const size_t fraction = at + 1;
    at = SkipDigits(text, fraction);
    if (at == fraction) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const size_t exponent = at;
    at = SkipDigits(text, exponent);
    if (at == exponent) return false;
  }
  return at == text.size();
}

bool IsLiteral(std::string_view token) {
  const size_t last = token.find_last_not_of(" \t\r\n");
  token = token.substr(0, last == std::string_view::npos ? 0 : last + 1);
  return token == "true" || token == "false" || token == "null" || IsNumber(token);
}

}  // namespace

absl::Status Malformed() { return absl::InvalidArgumentError("not valid JSON"); }

Document::Document(std::string_view text) : size_(text.size()) {
  if (text.size() > kMaxTextBytes) {
    opened_ = absl::InvalidArgumentError("message too large");
    return;
  }
  // Zeros behind the text, so that the parser can find nothing of an earlier text there.
  ThreadBuffers& buffers = *Buffers();
  const size_t needed = text.size() + simdjson::SIMDJSON_PADDING;
  if (buffers.text.size() < needed) buffers.text.resize(needed);
  if (!text.empty()) std::memcpy(buffers.text.data(), text.data(), text.size());
  std::memset(buffers.text.data() + text.size(), 0, simdjson::SIMDJSON_PADDING);
  if (!SurrogatesPaired(text)) {
    opened_ = absl::InvalidArgumentError("lone surrogate in a string");
  } else if (const auto error =
                 buffers.parser.iterate(buffers.text.data(), text.size(), buffers.text.size())
                     .get(document_)) {
    opened_ =
        error == simdjson::UTF8_ERROR ? absl::InvalidArgumentError("not valid UTF-8") : Malformed();
  }
}

Document::~Document() {
  if (size_ > kKeepBytes) Buffers().reset();
}

absl::Status Document::Root(Object& root) {
  GRASPD_RETURN_IF_ERROR(opened_);
  return document_.get_object().get(root) ? absl::InvalidArgumentError("not a JSON object")
                                          : absl::OkStatus();
}

absl::Status Document::Root(Array& root) {
  GRASPD_RETURN_IF_ERROR(opened_);
  return document_.get_array().get(root) ? absl::InvalidArgumentError("not a JSON array")
                                         : absl::OkStatus();
}

absl::Status Document::Finish() {
  const auto location = document_.current_location();
  return location.error() == simdjson::OUT_OF_BOUNDS ? absl::OkStatus() : Malformed();
}

absl::Status ReadString(Value value, const char* what, std::string_view& out) {
  // Most strings hold no escape and stand in the text as they are, up to the last quote of the
  // token (only white space can follow it): much faster than having the parser unescape them.
  const std::string_view token = value.raw_json_token();
  if (token.starts_with('"') && token.find('\\') == std::string_view::npos) {
    out = token.substr(1, token.rfind('"') - 1);
    // Moves on: whatever follows a string that was not taken, be it `:`, would be skipped with it.
    simdjson::ondemand::raw_json_string taken;
    return value.get_raw_json_string().get(taken) ? Malformed() : absl::OkStatus();
  }
  return value.get_string().get(out) ? WrongType(what, "a string") : absl::OkStatus();
}

absl::Status ReadInteger(Value value, const char* what, uint64_t max, uint64_t& out) {
  if (value.get_uint64().get(out) || out > max) return WrongType(what, "an integer in range");
  return absl::OkStatus();
}

absl::Status ReadBool(Value value, const char* what, bool& out) {
  return value.get_bool().get(out) ? WrongType(what, "true or false") : absl::OkStatus();
}

absl::Status Skip(Value value, int depth) {
  simdjson::ondemand::json_type type;
  if (value.type().get(type)) return Malformed();
  const bool container =
      type == simdjson::ondemand::json_type::array || type == simdjson::ondemand::json_type::object;
  if (container && depth >= kMaxDepth) return absl::InvalidArgumentError("nested too deeply");
  switch (type) {
    case simdjson::ondemand::json_type::array: {
      Array array;
      if (value.get_array().get(array)) return Malformed();
      return ForEachElement(array, [&](Value element) { return Skip(element, depth + 1); });
    }
    case simdjson::ondemand::json_type::object: {
      Object object;
      if (value.get_object().get(object)) return Malformed();
      return ForEachField(object,
                          [&](std::string_view, Value field) { return Skip(field, depth + 1); });
    }
    case simdjson::ondemand::json_type::string: {
      std::string_view text;
      return ReadString(value, "string", text);
    }
    default:
      return IsLiteral(value.raw_json_token()) ? absl::OkStatus() : Malformed();
  }
}

bool ArrayWalk::Next(Value& value) {
  if (ended_) return false;  // the iterator must not be moved past its end, nor after an error
  if (started_) {
    ++at_;
  } else {
    at_ = array_.begin();
    started_ = true;
  }
  ended_ = !(at_ != array_.end());
  if (!ended_ && (*at_).get(value)) {
    status_ = Malformed();
    ended_ = true;
  }
  return !ended_;
}

absl::Status ArrayWalk::End() {
  Value value;
  if (Next(value)) return absl::InvalidArgumentError("too many elements");
  return status_;
}

}  // namespace graspd::nostr::json
