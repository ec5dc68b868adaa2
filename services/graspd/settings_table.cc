#include "services/graspd/settings_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/status_macros.h"
#include "services/graspd/settings_values.h"

namespace graspd::daemon {
namespace {

using Kind = RawValue::Kind;

// The message of an error adds to SettingSpec::allowed; here nothing needs adding.
absl::Status NotAllowed() { return absl::InvalidArgumentError(""); }

absl::Status WrongItem(std::string_view item, const absl::Status& why) {
  const std::string reason(why.message());
  return absl::InvalidArgumentError(
      fmt::format("{}{}{}", TomlString(item), reason.empty() ? "" : ": ", reason));
}

/// How values of one type are written. `kinds` are the TOML types it takes besides kText.
template <typename T>
struct Form {
  std::string allowed;
  std::vector<Kind> kinds;
  std::function<absl::StatusOr<T>(std::string_view)> parse;
  std::function<std::string(const T&)> toml;

  [[nodiscard]] bool Takes(Kind kind) const {
    return kind == Kind::kText || std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  }
};

/// `parse`, and then a check of the range.
template <typename T>
std::function<absl::StatusOr<T>(std::string_view)> Within(
    absl::StatusOr<uint64_t> (*parse)(std::string_view), uint64_t min, uint64_t max) {
  return [=](std::string_view text) -> absl::StatusOr<T> {
    GRASPD_ASSIGN_OR_RETURN(const uint64_t value, parse(text));
    if (value < min || value > max) return NotAllowed();
    return static_cast<T>(value);
  };
}

Form<size_t> Count(size_t min, size_t max) {
  return {fmt::format("a whole number from {} to {}", min, max),
          {Kind::kInteger},
          Within<size_t>(ParseCount, min, max),
          [](size_t value) { return fmt::to_string(value); }};
}

Form<size_t> Bytes(size_t min, size_t max) {
  return {fmt::format("a size from {} to {}", FormatBytes(min), FormatBytes(max)),
          {Kind::kString, Kind::kInteger},
          Within<size_t>(ParseBytes, min, max),
          [](size_t value) { return TomlString(FormatBytes(value)); }};
}

Form<double> Rate() {
  return {"a number of at least 0", {Kind::kInteger, Kind::kFloat}, ParseRate, FormatRate};
}

Form<bool> Switch() {
  return {"true or false", {Kind::kBoolean}, ParseBool, [](bool value) {
            return std::string(value ? "true" : "false");
          }};
}

/// A duration kept as T, which says its resolution.
template <typename T>
Form<T> Duration(T min, T max) {
  const auto text = [](T value) { return FormatDuration(value); };
  std::string allowed = fmt::format("a duration from {} to {}", text(min), text(max));
  auto parse = [=](std::string_view written) -> absl::StatusOr<T> {
    GRASPD_ASSIGN_OR_RETURN(const auto exact, ParseDuration(written));
    const T value = std::chrono::duration_cast<T>(exact);
    if (value != exact || value < min || value > max) return NotAllowed();
    return value;
  };
  return {std::move(allowed), {Kind::kString}, std::move(parse), [=](const T& value) {
            return TomlString(text(value));
          }};
}

/// A number of seconds that its struct keeps as an integer.
Form<uint64_t> Seconds(std::chrono::seconds min, std::chrono::seconds max) {
  Form<std::chrono::seconds> form = Duration(min, max);
  return {form.allowed, form.kinds,
          [form](std::string_view text) -> absl::StatusOr<uint64_t> {
            GRASPD_ASSIGN_OR_RETURN(const auto value, form.parse(text));
            return static_cast<uint64_t>(value.count());
          },
          [form](uint64_t value) { return form.toml(std::chrono::seconds(value)); }};
}

Form<std::string> Text(std::string allowed, bool (*accept)(std::string_view)) {
  return {std::move(allowed),
          {Kind::kString},
          [accept](std::string_view text) -> absl::StatusOr<std::string> {
            if (!accept(text)) return NotAllowed();
            return std::string(text);
          },
          [](const std::string& value) { return TomlString(value); }};
}

bool AnyText(std::string_view) { return true; }

bool IsStoreUri(std::string_view text) {
  constexpr std::string_view kLmdb = "lmdb:";
  return text == "memory:" || (text.starts_with(kLmdb) && text.size() > kLmdb.size());
}

bool IsPubkeyOrEmpty(std::string_view text) {
  return text.empty() || (text.size() == 64 &&
                          text.find_first_not_of("0123456789abcdef") == std::string_view::npos);
}

/// A type with T::Parse(string_view) and ToString().
template <typename T>
Form<T> Parsed(std::string allowed) {
  return {std::move(allowed),
          {Kind::kString},
          [](std::string_view text) { return T::Parse(text); },
          [](const T& value) { return TomlString(value.ToString()); }};
}

template <typename T>
Form<T> Choice(std::vector<std::pair<std::string_view, T>> choices) {
  std::string allowed = "one of ";
  for (const auto& choice : choices) {
    allowed += fmt::format("{}{}", &choice == choices.data() ? "" : ", ", choice.first);
  }
  auto parse = [choices](std::string_view text) -> absl::StatusOr<T> {
    for (const auto& [name, value] : choices) {
      if (name == text) return value;
    }
    return NotAllowed();
  };
  auto toml = [choices](const T& value) {
    for (const auto& [name, choice] : choices) {
      if (choice == value) return TomlString(name);
    }
    return TomlString("");
  };
  return {std::move(allowed), {Kind::kString}, std::move(parse), std::move(toml)};
}

/// The part of the settings in which a row's member lives.
template <typename Owner, typename S>
auto& Part(S& settings) {
  if constexpr (std::is_same_v<Owner, nostr::Limits>) {
    return settings.limits;
  } else {
    return settings;
  }
}

template <typename T, typename Owner>
SettingSpec Row(std::string_view name, T Owner::*member, Form<std::type_identity_t<T>> form,
                std::string_view help, std::string_view default_note = "") {
  SettingSpec spec{name, help, form.allowed, default_note, false, nullptr, nullptr};
  spec.set = [member, form](const RawValue& raw, Settings& settings) -> absl::Status {
    if (!form.Takes(raw.kind)) return NotAllowed();
    GRASPD_ASSIGN_OR_RETURN(Part<Owner>(settings).*member, form.parse(raw.text));
    return absl::OkStatus();
  };
  spec.toml = [member, form](const Settings& settings) {
    return form.toml(Part<Owner>(settings).*member);
  };
  return spec;
}

/// A row whose value is a list; `min` is the fewest items it takes.
template <typename T>
SettingSpec ListRow(std::string_view name, std::vector<T> Settings::*member, Form<T> form,
                    size_t min, std::string_view help, std::string_view default_note = "") {
  SettingSpec spec{name,    help,   fmt::format("a list of {}", form.allowed), default_note, true,
                   nullptr, nullptr};
  if (min > 0) spec.allowed += ", not empty";
  spec.set = [member, form, min](const RawValue& raw, Settings& settings) -> absl::Status {
    if (raw.kind != Kind::kText && raw.kind != Kind::kArray) return NotAllowed();
    std::vector<T> values;
    for (const std::string& item : raw.kind == Kind::kArray ? raw.items : SplitList(raw.text)) {
      absl::StatusOr<T> value = form.parse(item);
      if (!value.ok()) return WrongItem(item, value.status());
      values.push_back(*std::move(value));
    }
    if (values.size() < min) return NotAllowed();
    settings.*member = std::move(values);
    return absl::OkStatus();
  };
  spec.toml = [member, form](const Settings& settings) {
    std::string out;
    for (const T& value : settings.*member) out += (out.empty() ? "" : ", ") + form.toml(value);
    return "[" + out + "]";
  };
  return spec;
}

using namespace std::chrono_literals;
using L = nostr::Limits;
using S = Settings;
constexpr size_t kMany = 1'000'000;
constexpr size_t kKiB = 1u << 10, kMiB = 1u << 20;
constexpr size_t kGiB = 1u << 30, kTiB = kGiB << 10;

Form<net::ListenAddress> Listen() {
  return Parsed<net::ListenAddress>("addresses such as 127.0.0.1:7334, [::1]:7334 or unix:/path");
}
// The admin server refuses other addresses too; here the mistake is found before anything starts.
Form<net::ListenAddress> LocalListen() {
  auto form = Parsed<net::ListenAddress>(
      "loopback addresses or unix sockets, such as 127.0.0.1:7335, [::1]:7335 or unix:/path");
  form.parse = [](std::string_view text) -> absl::StatusOr<net::ListenAddress> {
    GRASPD_ASSIGN_OR_RETURN(auto address, net::ListenAddress::Parse(text));
    if (address.is_loopback()) return address;
    return absl::InvalidArgumentError("the admin API has no authentication");
  };
  return form;
}
Form<nostr::RelayUrl> Relay() {
  return Parsed<nostr::RelayUrl>("relay URLs such as wss://relay.example");
}
Form<net::Cidr> Range() {
  return Parsed<net::Cidr>("address ranges such as 10.0.0.0/8 or fc00::/7");
}

Form<uint16_t> Port() {
  return {"whole numbers from 1 to 65535",
          {Kind::kInteger},
          Within<uint16_t>(ParseCount, 1, UINT16_MAX),
          [](uint16_t port) { return fmt::to_string(port); }};
}

Form<std::string> Entry(ingest::PolicyList list) {
  return {std::string(ingest::PolicyListSyntax(list)),
          {Kind::kString},
          [list](std::string_view text) { return ingest::CanonicalEntry(list, text); },
          [](const std::string& value) { return TomlString(value); }};
}

std::vector<SettingSpec> ServiceRows() {
  return {
      Row("store", &S::store, Text("memory: or lmdb:DIRECTORY", IsStoreUri),
          "Where events are kept: `lmdb:DIRECTORY` (made if absent) or `memory:` (gone at "
          "exit)."),
      Row("lmdb.map_size", &S::lmdb_map_size, Bytes(kMiB, 128 * kTiB),
          "How large the file of the LMDB store may grow. It takes address space from the start, "
          "but disk only as events come."),
      ListRow("relay.listen", &S::relay_listen, Listen(), 1,
              "Where the relay listens: WebSocket, NIP-11 and the landing page."),
      ListRow("relay.urls", &S::relay_urls, Relay(), 0,
              "The URLs under which others reach this relay, the canonical one first. "
              "Announcements that list one of their hosts are for us. Needed when `relay.listen` "
              "is a wildcard address or a unix socket.",
              "`ws://` and each address of `relay.listen`"),
      Row("relay.name", &S::relay_name, Text("text", AnyText), "Name in the NIP-11 document."),
      Row("relay.description", &S::relay_description, Text("text", AnyText),
          "Description in the NIP-11 document."),
      Row("relay.contact", &S::relay_contact, Text("text", AnyText),
          "Contact in the NIP-11 document: a URI such as `mailto:admin@example.org`."),
      Row("relay.pubkey", &S::relay_pubkey,
          Text("64 lower-case hex digits, or empty", IsPubkeyOrEmpty),
          "The operator's public key in the NIP-11 document."),
      Row("relay.git_service", &S::relay_git_service, Switch(),
          "A git server of GRASP-01 runs on the same host: the NIP-11 document names GRASP-01."),
      ListRow("relay.trusted_proxies", &S::relay_trusted_proxies, Range(), 0,
              "Reverse proxies whose `X-Forwarded-For` is believed. Without it every client behind "
              "a proxy counts as one address: all of them share its rates and its time for "
              "COUNT and NEG-OPEN (`limits.address_rate_factor`)."),
      ListRow("admin.listen", &S::admin_listen, LocalListen(), 0,
              "Where the admin API (gRPC) listens; an empty list turns it off. It has no "
              "authentication, so only loopback addresses and unix sockets are allowed."),
      ListRow("ops.listen", &S::ops_listen, Listen(), 0,
              "Where probes and metrics are served over HTTP; an empty list turns them off."),
      Row("policy.mode", &S::policy_mode,
          Choice<ingest::PolicyMode>({{"grasp", ingest::PolicyMode::kGrasp},
                                      {"archive", ingest::PolicyMode::kArchive},
                                      {"open", ingest::PolicyMode::kOpen}}),
          "What is accepted. `grasp`: repositories that list this service, and what refers to "
          "them. `archive`: also repositories that do not list it. `open`: every valid event."),
      Row("policy.require_clone", &S::policy_require_clone, Switch(),
          "In `grasp` mode an announcement must list us in `clone` as well as in `relays`. Turn it "
          "off for a relay without a git server."),
      ListRow("policy.author_blacklist", &S::policy_author_blacklist,
              Entry(ingest::PolicyList::kAuthorBlacklist), 0,
              "Authors of whom nothing is taken, in every mode. What is stored of them stays."),
      ListRow("policy.repository_blacklist", &S::policy_repository_blacklist,
              Entry(ingest::PolicyList::kRepositoryBlacklist), 0,
              "Repositories whose announcements are never taken, in every mode, not even by a "
              "maintainer of one that is. An identifier alone stands for the repositories of that "
              "name by all authors."),
      ListRow("policy.repository_whitelist", &S::policy_repository_whitelist,
              Entry(ingest::PolicyList::kRepositoryWhitelist), 0,
              "If not empty, only these repositories may list this service. Their maintainers may "
              "announce them as ever, and what is stored of others stays."),
      ListRow("policy.archive_repositories", &S::policy_archive_repositories,
              Entry(ingest::PolicyList::kArchiveRepositories), 0,
              "`archive` mode: take these repositories, instead of all, although they do not list "
              "this service."),
      ListRow("policy.archive_hosts", &S::policy_archive_hosts,
              Entry(ingest::PolicyList::kArchiveHosts), 0,
              "`archive` mode: take repositories that name one of these hosts in `clone` or "
              "`relays`, besides `policy.archive_repositories`, instead of all. A host without "
              "port stands for every port."),
      Row("sync.enabled", &S::sync_enabled, Switch(),
          "Find the other relays of our repositories and fetch what we lack.",
          "`true`, in `open` mode `false`"),
      ListRow("sync.bootstrap", &S::sync_bootstrap, Relay(), 0,
              "Relays to sync from whether or not a repository names them."),
      ListRow("sync.allow_cidrs", &S::sync_allow_cidrs, Range(), 0,
              "Ranges that may be dialled although they are not public. Relay URLs come from "
              "strangers: without this no private or loopback address is ever dialled."),
      ListRow("sync.deny_cidrs", &S::sync_deny_cidrs, Range(), 0,
              "Ranges that are never dialled, not even inside `sync.allow_cidrs`: public addresses "
              "that lead to machines of yours, such as those of pods and services of a cluster."),
      ListRow(
          "sync.allow_ports", &S::sync_allow_ports, Port(), 0,
          "Ports that may be dialled although they are below 1024 or commonly those of databases "
          "and the like. 80, 443 and all others may be in any case, and inside "
          "`sync.allow_cidrs` every port."),
      Row("sync.allow_plaintext", &S::sync_allow_plaintext, Switch(),
          "Dial `ws://` relays outside `sync.allow_cidrs` too."),
      Row("sync.startup_delay", &S::sync_startup_delay,
          Duration<std::chrono::milliseconds>(0ms, 1h),
          "How long after a start relays already known are dialled; up to 2 s of jitter comes on "
          "top."),
      Row("sync.key_file", &S::sync_key_file, Text("a path, or empty", AnyText),
          "File with the secret key, hex or nsec, by which graspd authenticates to relays that ask "
          "for it (NIP-42). If there is no such file, one is made with a new key. Without this "
          "setting graspd authenticates to nobody. Use a key that serves nothing else."),
      Row("sync.max_remotes", &S::sync_max_remotes, Count(1, kMany),
          "Relays that are followed at a time. No author of announcements and no site that relays "
          "belong to gets more than half of what is left of it, and so with the next two."),
      Row("sync.new_remotes_per_minute", &S::sync_new_remotes_per_minute, Count(1, kMany),
          "Relays that are dialled for the first time, shared in the same way."),
  };
}

std::vector<SettingSpec> LimitRows() {
  return {
      Row("limits.message_bytes", &L::message_bytes, Bytes(kKiB, kGiB),
          "One message from a client. Longer ones end the connection unparsed."),
      Row("limits.event_bytes", &L::event_bytes, Bytes(kKiB, kGiB),
          "One event as JSON; not above `limits.message_bytes`."),
      Row("limits.neg_message_bytes", &L::neg_message_bytes, Bytes(4 * kKiB, kGiB),
          "One NIP-77 message."),
      Row("limits.event_tags", &L::event_tags, Count(1, kMany), "Tags of one event."),
      Row("limits.created_at_ahead", &L::created_at_ahead_seconds, Seconds(0s, 24h * 3650),
          "How far ahead of our clock `created_at` may be."),
      Row("limits.filters_per_req", &L::filters_per_req, Count(1, kMany), "Filters in one REQ."),
      Row("limits.values_per_filter", &L::values_per_filter, Count(1, kMany),
          "Ids, authors, kinds and tag values of one filter together."),
      Row("limits.subscriptions", &L::subscriptions, Count(1, kMany),
          "Open subscriptions of one connection."),
      Row("limits.subscription_id_chars", &L::subscription_id_chars, Count(1, 64),
          "Length of a subscription id; NIP-01 allows at most 64."),
      Row("limits.limit_default", &L::limit_default, Count(1, kMany),
          "Stored events that a filter without `limit` gets; not above `limits.limit_max`."),
      Row("limits.limit_max", &L::limit_max, Count(1, kMany),
          "Stored events that any filter gets."),
      Row("limits.events_per_second", &L::events_per_second, Rate(),
          "EVENTs of one connection in the long run; 0 for no limit."),
      Row("limits.events_burst", &L::events_burst, Rate(),
          "EVENTs of one connection at once; at least 1 where there is a rate."),
      Row("limits.reqs_per_second", &L::reqs_per_second, Rate(),
          "REQ, COUNT and NEG-OPEN of one connection in the long run; 0 for no limit."),
      Row("limits.reqs_burst", &L::reqs_burst, Rate(),
          "REQ, COUNT and NEG-OPEN of one connection at once; at least 1 where there is a rate."),
      Row("limits.address_rate_factor", &L::address_rate_factor, Count(0, kMany),
          "All connections of one IPv4 address or IPv6 /64 together may send this many times the "
          "EVENTs and REQs of one, in the long run and at once, and share as many times its time "
          "for COUNT and NEG-OPEN: a second of a core at once, a twentieth of one in the long run. "
          "0 for no such limit."),
      Row("limits.author_rate_factor", &L::author_rate_factor, Count(0, kMany),
          "Of one author as many times the EVENTs of one connection are taken from clients, over "
          "all connections; only what is new here counts. 0 for no such limit."),
      Row("limits.connections", &L::connections, Count(1, kMany), "Client connections in total."),
      Row("limits.connections_per_address", &L::connections_per_address, Count(1, kMany),
          "Client connections from one IPv4 address or IPv6 /64."),
      Row("limits.neg_sessions", &L::neg_sessions, Count(1, kMany),
          "Open NIP-77 sessions of one connection."),
      Row("limits.neg_set_items", &L::neg_set_items, Count(1, 1000 * kMany),
          "Events in the set of one NIP-77 session."),
      Row("limits.neg_memory_bytes", &L::neg_memory_bytes, Bytes(kMiB, kTiB),
          "Memory of all NIP-77 sets together, those of sync included. At most half of "
          "`limits.memory_bytes`."),
      Row("limits.neg_idle", &L::neg_idle, Duration<std::chrono::seconds>(1s, 24h),
          "A NIP-77 session that is silent this long ends."),
      Row("limits.outbound_bytes", &L::outbound_bytes, Bytes(64 * kKiB, kTiB),
          "Queued for one connection; past it the connection is closed. Not below "
          "`limits.event_bytes` or `limits.neg_message_bytes`."),
      Row("limits.inbound_total_bytes", &L::inbound_total_bytes, Bytes(kMiB, kTiB),
          "Received of messages that have not come to their end, of all connections; past it who "
          "sends more of a long one is cut. At most a quarter of `limits.memory_bytes`."),
      Row("limits.outbound_total_bytes", &L::outbound_total_bytes, Bytes(kMiB, kTiB),
          "Queued for all connections; past it the largest is closed. Not below "
          "`limits.outbound_bytes`; at most a quarter of `limits.memory_bytes`."),
      Row("limits.memory_bytes", &Settings::limits_memory_bytes, Bytes(0, kTiB),
          "Memory of the process near which the relay sheds load: past 80 % of it stored events, "
          "COUNT "
          "and NEG-OPEN are refused, past 90 % new connections, past 95 % clients with much unread "
          "output are cut. 0 for three quarters of the memory limit of the cgroup, or of the RAM."),
      Row("limits.ping_interval", &L::ping_interval, Duration<std::chrono::seconds>(1s, 24h),
          "A connection that is silent this long is pinged."),
      Row("limits.pong_timeout", &L::pong_timeout, Duration<std::chrono::seconds>(1s, 24h),
          "A connection that is silent this long, pings notwithstanding, is ended; longer than "
          "`limits.ping_interval`."),
      Row("limits.handshake_timeout", &L::handshake_timeout,
          Duration<std::chrono::seconds>(1s, 24h),
          "From TCP connect to the end of the HTTP request."),
      Row("limits.live_buffer_events", &L::live_buffer_events, Count(1, kMany),
          "New events held for one subscription while its stored events are read; past it the "
          "subscription is closed."),
      Row("limits.live_buffer_bytes", &L::live_buffer_bytes, Bytes(64 * kKiB, kTiB),
          "The same in bytes."),
      Row("limits.filter_total_bytes", &L::filter_total_bytes, Bytes(1024 * kKiB, kTiB),
          "What the filters of all subscriptions may take in memory; past it new ones, and COUNTs, "
          "are refused. At most a quarter of `limits.memory_bytes`."),
      Row("limits.drain_timeout", &L::drain_timeout, Duration<std::chrono::seconds>(0s, 24h),
          "How long a stopping server waits for its connections to close."),
  };
}

std::vector<SettingSpec> LogRows() {
  return {
      Row("log.level", &S::log_level,
          Choice<base::LogLevel>({{"debug", base::LogLevel::kDebug},
                                  {"info", base::LogLevel::kInfo},
                                  {"warn", base::LogLevel::kWarn},
                                  {"error", base::LogLevel::kError}}),
          "The least severe lines that are written, to standard error."),
      Row("log.format", &S::log_format,
          Choice<std::optional<base::LogFormat>>({{"auto", std::nullopt},
                                                  {"text", base::LogFormat::kText},
                                                  {"json", base::LogFormat::kJson}}),
          "`text` for people, `json` for collectors; `auto` is text on a terminal, else json."),
  };
}

std::string Spelled(std::string_view prefix, std::string_view name, char separator) {
  std::string out = std::string(prefix) + std::string(name);
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(prefix.size()), out.end(),
      [](char c) { return c == '.' || c == '_'; }, separator);
  return out;
}

}  // namespace

std::string SettingSpec::Flag() const { return Spelled("--", name, '-'); }

std::string SettingSpec::Variable() const {
  std::string out = Spelled("GRASPD_", name, '_');
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return out;
}

const std::vector<SettingSpec>& SettingTable() {
  static const std::vector<SettingSpec> table = [] {
    std::vector<SettingSpec> rows = ServiceRows();
    for (auto part : {LimitRows(), LogRows()}) {
      std::move(part.begin(), part.end(), std::back_inserter(rows));
    }
    return rows;
  }();
  return table;
}

}  // namespace graspd::daemon
