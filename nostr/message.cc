// Reading messages; message_writer.cc writes them.
#include "nostr/message.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/hex.h"
#include "base/utf8.h"
#include "nostr/json_reader.h"

namespace graspd::nostr {
namespace {

using json::ArrayWalk;
using json::Value;

constexpr size_t kMaxSubscriptionCharacters = 64;
constexpr size_t kMaxClaimedIdBytes = 64;
constexpr size_t kMaxTypeBytes = 16;

std::string_view View(absl::string_view text) { return {text.data(), text.size()}; }

// ---- elements of a message -----------------------------------------------------------------

absl::Status Next(ArrayWalk& walk, Value& value) {
  if (walk.Next(value)) return absl::OkStatus();
  GRASPD_RETURN_IF_ERROR(walk.status());
  return absl::InvalidArgumentError("too few elements");
}

absl::Status NextString(ArrayWalk& walk, const char* what, std::string& out) {
  Value value;
  GRASPD_RETURN_IF_ERROR(Next(walk, value));
  std::string_view text;
  GRASPD_RETURN_IF_ERROR(json::ReadString(value, what, text));
  out = text;
  return absl::OkStatus();
}

absl::Status NextHexMessage(ArrayWalk& walk, std::string& out) {
  Value value;
  GRASPD_RETURN_IF_ERROR(Next(walk, value));
  std::string_view hex;
  GRASPD_RETURN_IF_ERROR(json::ReadString(value, "a negentropy message", hex));
  out.resize(hex.size() / 2);
  if (!base::HexDecode(hex, {reinterpret_cast<uint8_t*>(out.data()), out.size()})) {
    return absl::InvalidArgumentError("a negentropy message must be lower-case hex");
  }
  return absl::OkStatus();
}

absl::Status NextEvent(ArrayWalk& walk, Event& event) {
  Value value;
  GRASPD_RETURN_IF_ERROR(Next(walk, value));
  json::Object object;
  if (value.get_object().get(object)) {
    return absl::InvalidArgumentError("an event must be an object");
  }
  return json::ReadEvent(object, 1, event);
}

absl::Status AsFilter(Value value, Filter& filter) {
  json::Object object;
  if (value.get_object().get(object)) {
    return absl::InvalidArgumentError("a filter must be an object");
  }
  return json::ReadFilter(object, 1, filter);
}

absl::Status NextFilters(ArrayWalk& walk, std::vector<Filter>& filters) {
  Value value;
  while (walk.Next(value)) GRASPD_RETURN_IF_ERROR(AsFilter(value, filters.emplace_back()));
  GRASPD_RETURN_IF_ERROR(walk.status());
  return filters.empty() ? absl::InvalidArgumentError("no filter") : absl::OkStatus();
}

// ---- reading what a client says ------------------------------------------------------------

absl::Status NextSubscription(ArrayWalk& walk, std::string& out) {
  std::string id;
  GRASPD_RETURN_IF_ERROR(NextString(walk, "a subscription id", id));
  if (id.empty() || base::Utf8Characters(id) > kMaxSubscriptionCharacters) {
    return absl::InvalidArgumentError("a subscription id must have 1 to 64 characters");
  }
  out = std::move(id);
  return absl::OkStatus();
}

// As far as a message got before it turned out to be wrong.
struct Opening {
  std::string type;
  std::string subscription;
};

template <typename Message>
absl::Status ReadEventMessage(ArrayWalk& walk, ClientMessage& out) {
  return NextEvent(walk, out.emplace<Message>().event);
}

template <typename Message>
absl::Status ReadQuery(ArrayWalk& walk, Opening& opening, ClientMessage& out) {
  GRASPD_RETURN_IF_ERROR(NextSubscription(walk, opening.subscription));
  auto& query = out.emplace<Message>();
  query.subscription = opening.subscription;
  return NextFilters(walk, query.filters);
}

template <typename Message>
absl::Status ReadClose(ArrayWalk& walk, Opening& opening, ClientMessage& out) {
  GRASPD_RETURN_IF_ERROR(NextSubscription(walk, opening.subscription));
  out.emplace<Message>().subscription = opening.subscription;
  return absl::OkStatus();
}

absl::Status ReadNegOpen(ArrayWalk& walk, Opening& opening, ClientMessage& out) {
  GRASPD_RETURN_IF_ERROR(NextSubscription(walk, opening.subscription));
  auto& open = out.emplace<ClientNegOpen>();
  open.subscription = opening.subscription;
  Value value;
  GRASPD_RETURN_IF_ERROR(Next(walk, value));
  GRASPD_RETURN_IF_ERROR(AsFilter(value, open.filter));
  return NextHexMessage(walk, open.message);
}

absl::Status ReadNegMsg(ArrayWalk& walk, Opening& opening, ClientMessage& out) {
  GRASPD_RETURN_IF_ERROR(NextSubscription(walk, opening.subscription));
  auto& message = out.emplace<ClientNegMsg>();
  message.subscription = opening.subscription;
  return NextHexMessage(walk, message.message);
}

absl::Status ReadBody(ArrayWalk& walk, Opening& opening, ClientMessage& out) {
  const std::string& type = opening.type;
  if (type == "EVENT") return ReadEventMessage<ClientEvent>(walk, out);
  if (type == "REQ") return ReadQuery<ClientReq>(walk, opening, out);
  if (type == "CLOSE") return ReadClose<ClientClose>(walk, opening, out);
  if (type == "COUNT") return ReadQuery<ClientCount>(walk, opening, out);
  if (type == "AUTH") return ReadEventMessage<ClientAuth>(walk, out);
  if (type == "NEG-OPEN") return ReadNegOpen(walk, opening, out);
  if (type == "NEG-MSG") return ReadNegMsg(walk, opening, out);
  if (type == "NEG-CLOSE") return ReadClose<ClientNegClose>(walk, opening, out);
  return absl::UnimplementedError("unknown message type");
}

absl::Status ReadClientMessage(std::string_view text, Opening& opening, ClientMessage& out) {
  json::Document document(text);
  json::Array root;
  GRASPD_RETURN_IF_ERROR(document.Root(root));
  ArrayWalk walk(root);
  GRASPD_RETURN_IF_ERROR(NextString(walk, "a message's type", opening.type));
  GRASPD_RETURN_IF_ERROR(ReadBody(walk, opening, out));
  GRASPD_RETURN_IF_ERROR(walk.End());
  return document.Finish();
}

// ---- refusing what a client says -----------------------------------------------------------
//
// The answer to a message that is not even JSON still has to name its event or subscription, so
// these look at the raw text, as far as it goes.

constexpr std::string_view kSpace = " \t\r\n";

size_t SkipSpace(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kSpace, at), text.size());
}

// Where the string that opens at `at` ends: the position of its closing quote, or the end of the
// text.
size_t StringEnd(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at, text.size());
}

// What the string that opens at `at` begins with: printable ASCII up to its end, an escape or
// `max_bytes`. Nothing if no string opens there.
std::string_view PlainText(std::string_view text, size_t at, size_t max_bytes) {
  if (at >= text.size() || text[at] != '"') return {};
  const size_t begin = at + 1;
  size_t end = begin;
  while (end < text.size() && end - begin < max_bytes && text[end] >= ' ' && text[end] <= '~' &&
         text[end] != '"' && text[end] != '\\') {
    ++end;
  }
  return text.substr(begin, end - begin);
}

// The whole string that opens at `at` if it is of that kind, else nothing.
std::string_view WholePlainText(std::string_view text, size_t at, size_t max_bytes) {
  const std::string_view plain = PlainText(text, at, max_bytes);
  const size_t end = at + 1 + plain.size();
  return end < text.size() && text[end] == '"' ? plain : std::string_view();
}

// What follows the colon of that key in the object that stands in the outermost array; or nothing.
std::string_view ClaimedValue(std::string_view text, std::string_view key) {
  int depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c != '"') continue;
    const size_t end = StringEnd(text, at);
    const bool is_key = depth == 2 && text.substr(at + 1, end - at - 1) == key;
    const size_t colon = SkipSpace(text, end + 1);
    if (is_key && colon < text.size() && text[colon] == ':') {
      return text.substr(std::min(SkipSpace(text, colon + 1), text.size()));
    }
    at = end;
  }
  return {};
}

std::string ClaimedId(std::string_view text) {
  return std::string(PlainText(ClaimedValue(text, "id"), 0, kMaxClaimedIdBytes));
}

// What the event seems to be. False if it has no id, hence is none by anybody's rules.
bool ReadClaims(std::string_view text, RelayUnreadable& out) {
  const auto id = EventId::FromHex(ClaimedId(text));
  if (!id) return false;
  out.id = *id;
  const std::string_view time = ClaimedValue(text, "created_at");
  uint64_t seconds = 0;
  const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), seconds);
  const bool is_whole = end != time.data() + time.size() &&
                        std::string_view(",} \t\r\n").find(*end) != std::string_view::npos;
  if (error == std::errc() && is_whole) out.created_at = seconds;
  return true;
}

// The first two strings of the outermost array.
Opening RawOpening(std::string_view text) {
  Opening opening;
  const size_t bracket = SkipSpace(text, 0);
  if (bracket >= text.size() || text[bracket] != '[') return opening;
  const size_t type = SkipSpace(text, bracket + 1);
  opening.type = WholePlainText(text, type, kMaxTypeBytes);
  if (opening.type.empty()) return opening;
  const size_t comma = SkipSpace(text, StringEnd(text, type) + 1);
  if (comma >= text.size() || text[comma] != ',') return opening;
  opening.subscription =
      WholePlainText(text, SkipSpace(text, comma + 1), kMaxSubscriptionCharacters);
  return opening;
}

ClientRefused Refuse(std::string_view text, Opening opening, const absl::Status& status) {
  using Answer = ClientRefused::Answer;
  std::string reason = absl::IsUnimplemented(status) ? "unsupported: " : "invalid: ";
  reason += View(status.message());
  if (opening.type.empty()) opening = RawOpening(text);
  const std::string& type = opening.type;
  if (type == "EVENT" || type == "AUTH") {
    return {Answer::kOk, ClaimedId(text), std::move(reason)};
  }
  Answer answer = Answer::kNotice;
  if (type == "REQ") answer = Answer::kClosed;
  if (type == "COUNT") answer = Answer::kCountClosed;
  if (type == "NEG-OPEN" || type == "NEG-MSG" || type == "NEG-CLOSE") answer = Answer::kNegError;
  if (opening.subscription.empty()) answer = Answer::kNotice;
  if (answer == Answer::kNotice) opening.subscription.clear();
  return {answer, std::move(opening.subscription), std::move(reason)};
}

// ---- reading what a relay says -------------------------------------------------------------
//
// Elements beyond those we know are checked and otherwise ignored: other relays may add some.

absl::Status SkipRest(ArrayWalk& walk) {
  Value value;
  while (walk.Next(value)) GRASPD_RETURN_IF_ERROR(json::Skip(value, 1));
  return walk.status();
}

// A last text that some relays leave out.
absl::Status NextTextIfAny(ArrayWalk& walk, std::string& out) {
  Value value;
  if (!walk.Next(value)) return walk.status();
  std::string_view text;
  GRASPD_RETURN_IF_ERROR(json::ReadString(value, "a message", text));
  out = text;
  return absl::OkStatus();
}

absl::Status ReadOk(ArrayWalk& walk, RelayOk& ok) {
  std::string hex;
  GRASPD_RETURN_IF_ERROR(NextString(walk, "an id", hex));
  const auto id = EventId::FromHex(hex);
  if (!id) return absl::InvalidArgumentError("OK for what is no id");
  ok.id = *id;
  Value value;
  GRASPD_RETURN_IF_ERROR(Next(walk, value));
  GRASPD_RETURN_IF_ERROR(json::ReadBool(value, "OK's verdict", ok.accepted));
  return NextTextIfAny(walk, ok.message);
}

absl::Status ReadCountResult(ArrayWalk& walk, RelayCount& out) {
  GRASPD_RETURN_IF_ERROR(NextString(walk, "a subscription id", out.subscription));
  Value value;
  GRASPD_RETURN_IF_ERROR(Next(walk, value));
  json::Object object;
  if (value.get_object().get(object)) return absl::InvalidArgumentError("COUNT without an object");
  bool counted = false;
  const absl::Status read =
      json::ForEachField(object, [&](std::string_view key, Value field) -> absl::Status {
        if (key != "count") return json::Skip(field, 2);
        counted = true;
        return json::ReadInteger(field, "count", json::kMaxInteger, out.count);
      });
  GRASPD_RETURN_IF_ERROR(read);
  return counted ? absl::OkStatus() : absl::InvalidArgumentError("COUNT without a count");
}

absl::Status ReadRelayBody(ArrayWalk& walk, std::string_view type, RelayMessage& out) {
  constexpr const char* kSubscription = "a subscription id";
  if (type == "EVENT") {
    auto& message = out.emplace<RelayEvent>();
    GRASPD_RETURN_IF_ERROR(NextString(walk, kSubscription, message.subscription));
    absl::Status status = NextEvent(walk, message.event);
    if (!status.ok()) out = RelayUnreadable{std::move(message.subscription), {}, std::nullopt};
    return status;
  }
  if (type == "OK") return ReadOk(walk, out.emplace<RelayOk>());
  if (type == "EOSE") {
    return NextString(walk, kSubscription, out.emplace<RelayEose>().subscription);
  }
  if (type == "CLOSED") {
    auto& message = out.emplace<RelayClosed>();
    GRASPD_RETURN_IF_ERROR(NextString(walk, kSubscription, message.subscription));
    return NextTextIfAny(walk, message.message);
  }
  if (type == "NOTICE") return NextString(walk, "a notice", out.emplace<RelayNotice>().message);
  if (type == "AUTH") return NextString(walk, "a challenge", out.emplace<RelayAuth>().challenge);
  if (type == "COUNT") return ReadCountResult(walk, out.emplace<RelayCount>());
  if (type == "NEG-MSG") {
    auto& message = out.emplace<RelayNegMsg>();
    GRASPD_RETURN_IF_ERROR(NextString(walk, kSubscription, message.subscription));
    return NextHexMessage(walk, message.message);
  }
  if (type == "NEG-ERR") {
    auto& message = out.emplace<RelayNegErr>();
    GRASPD_RETURN_IF_ERROR(NextString(walk, kSubscription, message.subscription));
    return NextTextIfAny(walk, message.reason);
  }
  return absl::InvalidArgumentError("unknown message type");
}

absl::Status ReadRelayMessage(std::string_view text, RelayMessage& out) {
  json::Document document(text);
  json::Array root;
  GRASPD_RETURN_IF_ERROR(document.Root(root));
  ArrayWalk walk(root);
  std::string type;
  GRASPD_RETURN_IF_ERROR(NextString(walk, "a message's type", type));
  GRASPD_RETURN_IF_ERROR(ReadRelayBody(walk, type, out));
  GRASPD_RETURN_IF_ERROR(SkipRest(walk));
  return document.Finish();
}

}  // namespace

ClientMessage ParseClientMessage(std::string_view text) {
  Opening opening;
  ClientMessage message;
  const absl::Status status = ReadClientMessage(text, opening, message);
  if (status.ok()) return message;
  return Refuse(text, std::move(opening), status);
}

RelayMessage ParseRelayMessage(std::string_view text) {
  RelayMessage message;
  const absl::Status status = ReadRelayMessage(text, message);
  if (status.ok()) return message;
  auto* const unreadable = std::get_if<RelayUnreadable>(&message);
  if (unreadable && ReadClaims(text, *unreadable)) return message;
  return RelayMalformed{std::string(View(status.message()))};
}

}  // namespace graspd::nostr
