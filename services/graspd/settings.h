// What the operator can choose, and how the command line, the environment and a file say it.
//
// One table (settings_table.cc) names every setting. From the dotted name follow the flag, the
// variable and the TOML key: `sync.allow_cidrs` is --sync-allow-cidrs, GRASPD_SYNC_ALLOW_CIDRS and
//   [sync]
//   allow_cidrs = ["10.0.0.0/8"]
// A flag wins over the environment, that over the file, that over the default. Anything unknown or
// wrong is an error that names all that is wrong: a misspelt limit must not be silently no limit.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "ingest/policy/policy.h"
#include "net/socket_address.h"
#include "nostr/filter.h"
#include "nostr/limits.h"
#include "nostr/relay_url.h"

namespace graspd::daemon {

[[nodiscard]] net::ListenAddress LoopbackPort(uint16_t port);  // 127.0.0.1:port

/// Every setting with its default. A plain value; the meaning of each is its help text in the
/// table.
struct Settings {
  std::string store = "lmdb:./data";
  size_t lmdb_map_size = size_t{1} << 40;

  std::vector<net::ListenAddress> relay_listen = {LoopbackPort(7334)};  // never empty
  /// The first is the canonical one. If none was set they follow from relay_listen, and are empty
  /// only while a port is 0: then main asks DefaultRelayUrls() again once the ports are known.
  std::vector<nostr::RelayUrl> relay_urls;
  std::string relay_name = "graspd";
  std::string relay_description;
  std::string relay_contact;
  bool relay_git_service = false;
  std::string relay_pubkey;  // 64 lower-case hex digits, or empty
  std::vector<net::Cidr> relay_trusted_proxies;

  std::vector<net::ListenAddress> admin_listen = {LoopbackPort(7335)};  // empty = off
  std::vector<net::ListenAddress> ops_listen = {LoopbackPort(7336)};    // empty = off

  ingest::PolicyMode policy_mode = ingest::PolicyMode::kGrasp;
  bool policy_require_clone = true;
  // Entries of the policy's lists, canonical (ingest/policy/list_snapshot.h).
  std::vector<std::string> policy_author_blacklist;
  std::vector<std::string> policy_repository_blacklist;
  std::vector<std::string> policy_repository_whitelist;
  std::vector<std::string> policy_archive_repositories;
  std::vector<std::string> policy_archive_hosts;

  bool sync_enabled = true;  // unless set: true in grasp and archive mode, false in open mode
  std::vector<nostr::RelayUrl> sync_bootstrap;
  std::vector<net::Cidr> sync_allow_cidrs;
  std::vector<net::Cidr> sync_deny_cidrs;  // go before allow_cidrs
  std::vector<uint16_t> sync_allow_ports;
  bool sync_allow_plaintext = false;
  std::chrono::milliseconds sync_startup_delay{5000};
  std::string sync_key_file;  // empty: no key
  size_t sync_max_remotes = 500;
  size_t sync_new_remotes_per_minute = 60;

  nostr::Limits limits;
  size_t limits_memory_bytes = 0;  // 0: three quarters of what the process may use

  base::LogLevel log_level = base::LogLevel::kInfo;
  std::optional<base::LogFormat> log_format;  // nullopt: text on a terminal, else JSON
};

enum class SettingSource : uint8_t { kDefault, kFile, kEnvironment, kFlag };
[[nodiscard]] std::string_view SettingSourceName(SettingSource source);  // "default", "file", ...

/// One setting as it came out, for `config dump` and the admin API.
struct EffectiveSetting {
  std::string_view name;  // dotted
  std::string value;      // as TOML
  SettingSource source = SettingSource::kDefault;
  std::string origin;  // "graspd.toml:12", "GRASPD_STORE", "--store"; empty for a default
};

enum class Command : uint8_t {
  kServe,
  kExport,
  kImport,
  kConfigCheck,
  kConfigDump,
  kConfigDocs,
  kVersion,
  kHelp
};

/// What `export` is asked to do.
struct ExportRequest {
  std::string output = "-";  // a file; "-" = standard output
  nostr::Filter filter;      // normalised, without limit
};

/// What `import` is asked to do.
struct ImportRequest {
  std::vector<std::string> files = {"-"};  // "-" = standard input; never empty
  std::optional<nostr::RelayUrl> url;      // through this relay instead of into the store
  bool strict = false;
};

/// What one start of the program asks for. For kConfigDocs, kVersion and kHelp the settings are not
/// read: they work whatever the environment holds.
struct Invocation {
  Command command = Command::kServe;
  Settings settings;
  std::vector<EffectiveSetting> effective;  // in the table's order
  ExportRequest export_request;             // for kExport
  ImportRequest import_request;             // for kImport
};

/// Reads arguments (without the program's name), environment ("NAME=value") and the file that
/// `--config` names. Neither prints nor exits.
/// Errors: kInvalidArgument; the message has one line for each thing that is wrong.
absl::StatusOr<Invocation> ParseInvocation(const std::vector<std::string>& arguments,
                                           const std::vector<std::string>& environment);

/// The null-terminated `environ` as ParseInvocation() takes it.
[[nodiscard]] std::vector<std::string> EnvironmentStrings(const char* const* environ);

/// What a command prints to standard output; nullopt for kServe, kExport and kImport, which do
/// more.
[[nodiscard]] std::optional<std::string> CommandOutput(const Invocation& invocation);

/// `ws://` and each listening address: what relay.urls is when not set. Empty when an address has
/// no port yet. Errors: kInvalidArgument for a wildcard address or a unix socket, which name no
/// host.
absl::StatusOr<std::vector<nostr::RelayUrl>> DefaultRelayUrls(
    const std::vector<net::ListenAddress>& listen);

/// The limits, of which those on memory are lowered to a share of what the process may use: sets
/// for reconciliation to half of `memory_bytes`, what is queued in, out, and in filters to a
/// quarter each.
[[nodiscard]] nostr::Limits LimitsWithin(nostr::Limits limits, size_t memory_bytes);

[[nodiscard]] std::string HelpText();               // --help
[[nodiscard]] std::string ConfigurationMarkdown();  // docs/configuration.md
/// A file that `--config` reads back to the same settings, with the source of each as a comment.
[[nodiscard]] std::string DumpToml(const std::vector<EffectiveSetting>& effective);

}  // namespace graspd::daemon
