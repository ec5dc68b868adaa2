#include "nostr/json_writer.h"

#include <array>
#include <charconv>
#include <cstring>

#include "base/hex.h"

namespace graspd::nostr {
namespace {

// For each byte: 0 if it stands for itself, the letter of its short escape, or 'u'.
constexpr std::array<char, 256> MakeEscapes() {
  std::array<char, 256> escapes{};
  for (size_t c = 0; c < 0x20; ++c) escapes[c] = 'u';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  escapes['\t'] = 't';
  escapes['\b'] = 'b';
  escapes['\f'] = 'f';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  return escapes;
}
constexpr auto kEscapes = MakeEscapes();

using Block = uint8_t __attribute__((vector_size(16)));

// Length of the start of [at, end) that certainly needs no escape: whole blocks, since nearly all
// text needs none.
size_t PlainBlocks(const char* at, const char* end) {
  const char* const begin = at;
  for (; end - at >= static_cast<ptrdiff_t>(sizeof(Block)); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, at, sizeof block);
    const auto escaped = (block < 0x20) | (block == '"') | (block == '\\');
    std::array<uint64_t, 2> any;
    std::memcpy(any.data(), &escaped, sizeof escaped);
    if ((any[0] | any[1]) != 0) break;
  }
  return static_cast<size_t>(at - begin);
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  const char* run = text.data();
  const char* const end = text.data() + text.size();
  for (const char* at = run + PlainBlocks(run, end); at != end; ++at) {
    const auto byte = static_cast<uint8_t>(*at);
    const char escape = kEscapes[byte];
    if (escape == 0) [[likely]]
      continue;
    out.append(run, at);
    run = at + 1;
    out += '\\';
    out += escape;
    if (escape == 'u') {
      char digits[4] = {'0', '0'};
      base::HexEncodeTo({&byte, 1}, digits + 2);
      out.append(digits, 4);
    }
    at += PlainBlocks(at + 1, end);
  }
  out.append(run, end);
  out += '"';
}

void AppendInteger(std::string& out, uint64_t value) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

void AppendHexString(std::string& out, std::span<const uint8_t> bytes) {
  out += '"';
  const size_t at = out.size();
  out.resize(at + bytes.size() * 2);
  base::HexEncodeTo(bytes, out.data() + at);
  out += '"';
}

}  // namespace graspd::nostr
