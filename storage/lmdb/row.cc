#include "storage/lmdb/row.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <span>

#include "base/hex.h"
#include "nostr/json_writer.h"
#include "nostr/rules.h"
#include "storage/lmdb/keys.h"

namespace graspd::storage {
namespace {

// id, author, signature, created_at, kind, source, has expiration
constexpr size_t kFixedBytes = 32 + 32 + 64 + 8 + 2 + 1 + 1;
constexpr size_t kSignatureJsonBytes = 8 + 128 + 2;  // ,"sig":"..."}
constexpr std::string_view kBeforeTags = R"("tags":)";

/// Writes to room that is large enough.
class JsonWriter {
 public:
  explicit JsonWriter(char* out) : at_(out) {}
  [[nodiscard]] char* at() const { return at_; }
  JsonWriter& Text(std::string_view text) {
    at_ = std::copy(text.begin(), text.end(), at_);
    return *this;
  }
  JsonWriter& Number(uint64_t value) {
    at_ = std::to_chars(at_, at_ + 20, value).ptr;
    return *this;
  }
  JsonWriter& Hex(std::span<const uint8_t> bytes) {
    base::HexEncodeTo(bytes, at_);
    at_ += 2 * bytes.size();
    return *this;
  }

 private:
  char* at_;
};

/// What precedes the body in the canonical JSON.
class JsonHead {
 public:
  JsonHead(const nostr::EventId& id, const nostr::PublicKey& author, uint64_t created_at,
           nostr::Kind kind) {
    JsonWriter writer(bytes_.data());
    writer.Text(R"({"id":")").Hex(id.bytes).Text(R"(","pubkey":")").Hex(author.bytes);
    writer.Text(R"(","created_at":)").Number(created_at).Text(R"(,"kind":)").Number(kind).Text(",");
    size_ = static_cast<size_t>(writer.at() - bytes_.data());
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  // Names and quotes are 43 bytes, id and key 64 each, the numbers at most 20 and 5.
  std::array<char, 200> bytes_;
  size_t size_;
};

template <typename Bytes>
Bytes Take(std::string_view& from) {
  Bytes out;
  std::copy_n(from.begin(), Bytes::kSize, out.bytes.begin());
  from.remove_prefix(Bytes::kSize);
  return out;
}

// Where the string ends that begins before `text`: the first quote that is not escaped.
size_t EndOfString(std::string_view text) {
  size_t at = text.find_first_of("\"\\");
  while (at != std::string_view::npos && text[at] == '\\') at = text.find_first_of("\"\\", at + 2);
  return at;
}

template <typename T>
bool Allows(const std::optional<std::vector<T>>& sorted, const T& value) {
  return !sorted || std::binary_search(sorted->begin(), sorted->end(), value);
}

}  // namespace

absl::StatusOr<std::string> EncodeRow(const nostr::EventRecord& record, Source source) {
  const nostr::Event& event = record.event;
  const JsonHead whole_head(event.id, event.pubkey, event.created_at, event.kind);
  const std::string_view head = whole_head.view(), json = record.json;
  if (!json.starts_with(head) || json.size() < head.size() + kSignatureJsonBytes) {
    return absl::InvalidArgumentError("the record's JSON is not that of its event");
  }
  const std::string_view body =
      json.substr(head.size(), json.size() - head.size() - kSignatureJsonBytes);
  const auto expiration = nostr::ExpirationOf(event);

  std::string out;
  out.reserve(kFixedBytes + 8 + body.size());
  out += event.id.view();
  out += event.pubkey.view();
  out += event.sig.view();
  PutUint64(out, event.created_at);
  PutUint16(out, event.kind);
  out += static_cast<char>(source);
  out += expiration ? '\1' : '\0';
  if (expiration) PutUint64(out, *expiration);
  out += body;
  return out;
}

std::optional<RowView> RowView::Decode(std::string_view bytes) {
  if (bytes.size() < kFixedBytes) return std::nullopt;
  RowView row;
  row.id = Take<nostr::EventId>(bytes);
  row.author = Take<nostr::PublicKey>(bytes);
  row.signature = bytes.substr(0, nostr::Signature::kSize);
  bytes.remove_prefix(nostr::Signature::kSize);
  row.created_at = GetUint64(bytes);
  row.kind = GetUint16(bytes.substr(8));
  row.source = static_cast<Source>(bytes[10]);
  const bool expires = bytes[11] != '\0';
  bytes.remove_prefix(12);
  if (expires) {
    if (bytes.size() < 8) return std::nullopt;
    row.expiration = GetUint64(bytes);
    bytes.remove_prefix(8);
  }
  // Whoever reads the tags relies on them; a row that was damaged may have lost them.
  if (!bytes.starts_with(kBeforeTags)) return std::nullopt;
  row.body = bytes;
  return row;
}

std::string RowView::Json() const {
  const JsonHead head(id, author, created_at, kind);
  const size_t size = head.view().size() + body.size() + kSignatureJsonBytes;
  std::string out;
  out.reserve(size + 1);  // for the bracket that ends the message it is sent in
  out.resize(size);
  JsonWriter(out.data())
      .Text(head.view())
      .Text(body)
      .Text(R"(,"sig":")")
      .Hex({reinterpret_cast<const uint8_t*>(signature.data()), signature.size()})
      .Text(R"("})");
  return out;
}

std::string_view RowView::TagsText() const {
  // Cannot occur earlier: quotes inside of tags are escaped, and no colon follows a tag's element.
  return body.substr(kBeforeTags.size(), body.find(R"(],"content":)") - kBeforeTags.size());
}

RowMatcher::RowMatcher(const nostr::Filter& filter) : filter_(&filter) {
  for (const auto& [letter, values] : filter.tags) {
    TagCondition condition;
    condition.opening = std::string(R"([")") + letter + R"(",")";
    for (const std::string& value : values) {
      std::string quoted;
      nostr::AppendJsonString(quoted, value);
      condition.values.push_back(quoted.substr(1, quoted.size() - 2));
    }
    std::sort(condition.values.begin(), condition.values.end());
    tags_.push_back(std::move(condition));
  }
}

bool RowMatcher::Matches(const RowView& row) const {
  if (!Allows(filter_->kinds, row.kind) || !Allows(filter_->authors, row.author) ||
      !Allows(filter_->ids, row.id)) {
    return false;
  }
  if (tags_.empty()) return true;
  const std::string_view tags = row.TagsText();
  return std::all_of(tags_.begin(), tags_.end(),
                     [&](const TagCondition& condition) { return condition.Matches(tags); });
}

bool RowMatcher::TagCondition::Matches(std::string_view tags) const {
  for (size_t at = tags.find(opening); at != std::string_view::npos; at = tags.find(opening)) {
    tags.remove_prefix(at + opening.size());
    const std::string_view value = tags.substr(0, EndOfString(tags));
    if (std::binary_search(values.begin(), values.end(), value, std::less<>())) return true;
    tags.remove_prefix(value.size());
  }
  return false;
}

}  // namespace graspd::storage
