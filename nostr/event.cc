#include "nostr/event.h"

#include <string>
#include <utility>

#include "nostr/json_reader.h"
#include "nostr/json_writer.h"
#include "nostr/keys.h"

namespace graspd::nostr {
namespace {

// Which of the seven fields an object had.
enum Field : unsigned {
  kId = 1,
  kPubkey = 2,
  kCreatedAt = 4,
  kKind = 8,
  kTags = 16,
  kContent = 32,
  kSig = 64,
  kAllFields = 127,
  kOther = 0,
};

// Tags larger than this leave nothing allocated behind.
constexpr size_t kKeepTagBytes = 64 * 1024;

Field FieldOf(std::string_view key) {
  if (key == "id") return kId;
  if (key == "pubkey") return kPubkey;
  if (key == "created_at") return kCreatedAt;
  if (key == "kind") return kKind;
  if (key == "tags") return kTags;
  if (key == "content") return kContent;
  if (key == "sig") return kSig;
  return kOther;
}

template <typename Bytes>
absl::Status ReadHex(json::Value value, const char* what, Bytes& out) {
  std::string_view hex;
  GRASPD_RETURN_IF_ERROR(json::ReadString(value, what, hex));
  const auto bytes = Bytes::FromHex(hex);
  if (!bytes) {
    return absl::InvalidArgumentError(std::string(what) + " must be " +
                                      std::to_string(Bytes::kSize * 2) + " lower-case hex digits");
  }
  out = *bytes;
  return absl::OkStatus();
}

absl::Status ReadTag(json::Value value, Tags& tags) {
  json::Array elements;
  if (value.get_array().get(elements)) return absl::InvalidArgumentError("a tag must be an array");
  bool empty = true;
  const absl::Status walked = json::ForEachElement(elements, [&](json::Value element) {
    std::string_view text;
    GRASPD_RETURN_IF_ERROR(json::ReadString(element, "a tag's element", text));
    tags.AddElement(text);
    empty = false;
    return absl::OkStatus();
  });
  GRASPD_RETURN_IF_ERROR(walked);
  if (empty) return absl::InvalidArgumentError("a tag must not be empty");
  tags.EndTag();
  return absl::OkStatus();
}

absl::Status ReadTags(json::Value value, Tags& tags) {
  json::Array list;
  if (value.get_array().get(list)) return absl::InvalidArgumentError("tags must be an array");
  // Gathered where there is room already, then copied to three allocations of the right size.
  thread_local Tags gathered;
  gathered.Clear();
  const absl::Status walked =
      json::ForEachElement(list, [](json::Value tag) { return ReadTag(tag, gathered); });
  if (walked.ok()) tags = gathered;
  if (gathered.JsonSizeHint() > kKeepTagBytes) gathered = Tags();
  return walked;
}

absl::Status ReadField(Field field, json::Value value, int depth, Event& event) {
  switch (field) {
    case kId:
      return ReadHex(value, "id", event.id);
    case kPubkey:
      return ReadHex(value, "pubkey", event.pubkey);
    case kCreatedAt:
      return json::ReadInteger(value, "created_at", json::kMaxInteger, event.created_at);
    case kKind: {
      uint64_t kind = 0;
      GRASPD_RETURN_IF_ERROR(json::ReadInteger(value, "kind", 65535, kind));
      event.kind = static_cast<Kind>(kind);
      return absl::OkStatus();
    }
    case kTags:
      return ReadTags(value, event.tags);
    case kContent: {
      std::string_view text;
      GRASPD_RETURN_IF_ERROR(json::ReadString(value, "content", text));
      event.content = text;
      return absl::OkStatus();
    }
    case kSig:
      return ReadHex(value, "sig", event.sig);
    default:
      return json::Skip(value, depth);
  }
}

void AppendTags(std::string& out, const Tags& tags) {
  out += '[';
  for (size_t i = 0; i < tags.size(); ++i) {
    if (i > 0) out += ',';
    out += '[';
    const Tag tag = tags[i];
    for (size_t j = 0; j < tag.size(); ++j) {
      if (j > 0) out += ',';
      AppendJsonString(out, tag[j]);
    }
    out += ']';
  }
  out += ']';
}

// All that comes before the tags.
void AppendPreimageHead(std::string& out, const Event& event) {
  out += "[0,";
  AppendHexString(out, event.pubkey.bytes);
  out += ',';
  AppendInteger(out, event.created_at);
  out += ',';
  AppendInteger(out, event.kind);
  out += ',';
}

// Enough for most events, so that their JSON is written without moving it.
size_t ExpectedJsonBytes(const Event& event) {
  return 384 + event.content.size() + event.content.size() / 16 + event.tags.JsonSizeHint();
}

// Where the values of two fields are in what AppendEvent has written.
struct Places {
  size_t tags, tags_end, content, content_end;
};

Places AppendEvent(std::string& out, const Event& event) {
  Places places;
  out.reserve(out.size() + ExpectedJsonBytes(event));
  out += "{\"id\":";
  AppendHexString(out, event.id.bytes);
  out += ",\"pubkey\":";
  AppendHexString(out, event.pubkey.bytes);
  out += ",\"created_at\":";
  AppendInteger(out, event.created_at);
  out += ",\"kind\":";
  AppendInteger(out, event.kind);
  out += ",\"tags\":";
  places.tags = out.size();
  AppendTags(out, event.tags);
  places.tags_end = out.size();
  out += ",\"content\":";
  places.content = out.size();
  AppendJsonString(out, event.content);
  places.content_end = out.size();
  out += ",\"sig\":";
  AppendHexString(out, event.sig.bytes);
  out += '}';
  return places;
}

}  // namespace

std::string_view Tags::FirstValue(std::string_view name) const {
  for (const Tag tag : *this) {
    if (tag.name() == name) return tag.value();
  }
  return {};
}

bool Tags::Has(std::string_view name) const {
  for (const Tag tag : *this) {
    if (tag.name() == name) return true;
  }
  return false;
}

void Tags::AddElement(std::string_view text) {
  text_.append(text);
  element_ends_.push_back(static_cast<uint32_t>(text_.size()));
}

void Tags::EndTag() { tag_ends_.push_back(static_cast<uint32_t>(element_ends_.size())); }

void Tags::Clear() {
  text_.clear();
  element_ends_.clear();
  tag_ends_.clear();
}

void Tags::Add(std::initializer_list<std::string_view> elements) {
  for (const std::string_view element : elements) AddElement(element);
  EndTag();
}

absl::Status json::ReadEvent(Object object, int depth, Event& event) {
  unsigned seen = 0;
  GRASPD_RETURN_IF_ERROR(ForEachField(object, [&](std::string_view key, Value value) {
    const Field field = FieldOf(key);
    seen |= field;
    return ReadField(field, value, depth + 1, event);
  }));
  if (seen != kAllFields) {
    return absl::InvalidArgumentError(
        "an event needs id, pubkey, created_at, kind, tags, content and sig");
  }
  return absl::OkStatus();
}

absl::StatusOr<Event> ParseEvent(std::string_view json) {
  json::Document document(json);
  json::Object root;
  GRASPD_RETURN_IF_ERROR(document.Root(root));
  Event event;
  GRASPD_RETURN_IF_ERROR(json::ReadEvent(root, 0, event));
  GRASPD_RETURN_IF_ERROR(document.Finish());
  return event;
}

std::string EventJson(const Event& event) {
  std::string out;
  AppendEvent(out, event);
  return out;
}

std::string IdPreimage(const Event& event) {
  std::string out;
  out.reserve(ExpectedJsonBytes(event));
  AppendPreimageHead(out, event);
  AppendTags(out, event.tags);
  out += ',';
  AppendJsonString(out, event.content);
  out += ']';
  return out;
}

EventId ComputeId(const Event& event) { return EventId{Sha256(IdPreimage(event))}; }

EventPtr MakeRecord(Event event) {
  auto record = std::make_shared<EventRecord>();
  AppendEvent(record->json, event);
  record->event = std::move(event);
  return record;
}

// Tags and content stand in the preimage as they do in the JSON.
EventPtr MakeRecord(Event event, EventId& id) {
  auto record = std::make_shared<EventRecord>();
  const Places places = AppendEvent(record->json, event);
  const auto text = [&](size_t begin, size_t end) {
    return std::string_view(record->json).substr(begin, end - begin);
  };
  std::string head;
  head.reserve(128);
  AppendPreimageHead(head, event);
  id.bytes = Sha256({head, text(places.tags, places.tags_end), ",",
                     text(places.content, places.content_end), "]"});
  record->event = std::move(event);
  return record;
}

}  // namespace graspd::nostr
