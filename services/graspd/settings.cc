#include "services/graspd/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/build_info.h"
#include "base/status_macros.h"
#include "services/graspd/settings_sources.h"
#include "services/graspd/settings_table.h"
#include "services/graspd/settings_values.h"

namespace graspd::daemon {
namespace {

std::string Join(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += (out.empty() ? "" : "\n") + line;
  return out;
}

/// Puts the sources together, weakest first, and collects everything that is wrong.
class Assembly {
 public:
  explicit Assembly(GivenArguments arguments) : arguments_(std::move(arguments)) {}

  absl::StatusOr<Invocation> Assemble(const std::vector<std::string>& environment) && {
    Invocation out;
    out.command = arguments_.command;
    problems_ = arguments_.problems;
    if (ReadsSettings(out.command)) {
      if (!arguments_.config_file.empty()) Take(ReadTomlFile(arguments_.config_file));
      Take(ReadEnvironment(environment));
      for (const GivenValue& given : arguments_.values) Apply(given);
      Derive();
      CheckTogether();
    }
    if (!problems_.empty()) return absl::InvalidArgumentError(Join(problems_));
    out.effective = Effective();
    out.export_request = arguments_.export_request;
    out.import_request = arguments_.import_request;
    out.settings = std::move(settings_);
    return out;
  }

 private:
  static bool ReadsSettings(Command command) {
    return command == Command::kServe || command == Command::kExport ||
           command == Command::kImport || command == Command::kConfigCheck ||
           command == Command::kConfigDump;
  }

  void Take(const Given& given) {
    problems_.insert(problems_.end(), given.problems.begin(), given.problems.end());
    for (const GivenValue& value : given.values) Apply(value);
  }

  void Apply(const GivenValue& given) {
    const absl::Status set = given.spec->set(given.value, settings_);
    if (set.ok()) {
      given_[given.spec] = {given.source, given.origin};
      return;
    }
    const std::string reason(set.message());
    problems_.push_back(fmt::format("{} = {} ({}): must be {}{}", given.spec->name,
                                    TomlString(given.value.text), given.origin, given.spec->allowed,
                                    reason.empty() ? "" : " (" + reason + ")"));
  }

  [[nodiscard]] bool IsGiven(std::string_view name) const {
    return std::any_of(given_.begin(), given_.end(),
                       [&](const auto& entry) { return entry.first->name == name; });
  }

  /// Defaults that depend on other settings.
  void Derive() {
    if (!IsGiven("sync.enabled")) {
      settings_.sync_enabled = settings_.policy_mode != ingest::PolicyMode::kOpen;
    }
    if (settings_.relay_urls.empty()) {
      auto urls = DefaultRelayUrls(settings_.relay_listen);
      if (urls.ok()) {
        settings_.relay_urls = *std::move(urls);
      } else {
        problems_.emplace_back(urls.status().message());
      }
    }
  }

  // `limits.event_bytes = "64KiB"`.
  [[nodiscard]] std::string Shown(std::string_view name) const {
    const auto& table = SettingTable();
    const auto spec =
        std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.name == name; });
    return fmt::format("{} = {}", name, spec->toml(settings_));
  }

  void Require(bool holds, std::string_view name, std::string_view rule, std::string_view other,
               std::string_view why = "") {
    if (holds) return;
    problems_.push_back(fmt::format("{}: must {} {}{}{}", Shown(name), rule, Shown(other),
                                    why.empty() ? "" : ": ", why));
  }

  /// Rules between settings, each of which alone is allowed.
  void CheckTogether() {
    const nostr::Limits& l = settings_.limits;
    Require(l.event_bytes <= l.message_bytes, "limits.event_bytes", "not be above",
            "limits.message_bytes");
    Require(l.limit_default <= l.limit_max, "limits.limit_default", "not be above",
            "limits.limit_max");
    Require(l.outbound_bytes >= l.event_bytes, "limits.outbound_bytes", "not be below",
            "limits.event_bytes", "such an event could never be sent");
    Require(l.outbound_bytes >= l.neg_message_bytes, "limits.outbound_bytes", "not be below",
            "limits.neg_message_bytes", "such a message could never be sent");
    Require(l.outbound_total_bytes >= l.outbound_bytes, "limits.outbound_total_bytes",
            "not be below", "limits.outbound_bytes");
    Require(l.pong_timeout > l.ping_interval, "limits.pong_timeout", "be longer than",
            "limits.ping_interval", "quiet connections would end before they are pinged");
    Require(l.events_per_second == 0 || l.events_burst >= 1, "limits.events_burst",
            "be at least 1 with", "limits.events_per_second", "no event could pass");
    Require(l.reqs_per_second == 0 || l.reqs_burst >= 1, "limits.reqs_burst", "be at least 1 with",
            "limits.reqs_per_second", "no request could pass");
    const auto& listen = settings_.relay_listen;
    Require(!settings_.sync_enabled || std::any_of(listen.begin(), listen.end(),
                                                   [](const net::ListenAddress& address) {
                                                     return address.unix_path.empty();
                                                   }),
            "relay.listen", "name a TCP address with", "sync.enabled",
            "graspd hears its own events through one");
    const bool archive = settings_.policy_mode == ingest::PolicyMode::kArchive;
    Require(archive || settings_.policy_archive_repositories.empty(), "policy.archive_repositories",
            "be empty with", "policy.mode", "only the archive mode uses it");
    Require(archive || settings_.policy_archive_hosts.empty(), "policy.archive_hosts",
            "be empty with", "policy.mode", "only the archive mode uses it");
  }

  [[nodiscard]] std::vector<EffectiveSetting> Effective() const {
    std::vector<EffectiveSetting> out;
    for (const SettingSpec& spec : SettingTable()) {
      EffectiveSetting& row = out.emplace_back();
      row.name = spec.name;
      row.value = spec.toml(settings_);
      if (const auto given = given_.find(&spec); given != given_.end()) {
        row.source = given->second.first;
        row.origin = given->second.second;
      }
    }
    return out;
  }

  const GivenArguments arguments_;
  Settings settings_;
  std::vector<std::string> problems_;
  std::map<const SettingSpec*, std::pair<SettingSource, std::string>> given_;  // source, origin
};

}  // namespace

net::ListenAddress LoopbackPort(uint16_t port) {
  net::ListenAddress address;
  address.tcp.ip.bytes = {127, 0, 0, 1};
  address.tcp.port = port;
  return address;
}

std::string_view SettingSourceName(SettingSource source) {
  switch (source) {
    case SettingSource::kDefault:
      return "default";
    case SettingSource::kFile:
      return "file";
    case SettingSource::kEnvironment:
      return "env";
    case SettingSource::kFlag:
      return "flag";
  }
  return "";
}

absl::StatusOr<Invocation> ParseInvocation(const std::vector<std::string>& arguments,
                                           const std::vector<std::string>& environment) {
  return Assembly(ReadArguments(arguments)).Assemble(environment);
}

std::vector<std::string> EnvironmentStrings(const char* const* environ) {
  std::vector<std::string> out;
  for (; *environ != nullptr; ++environ) out.emplace_back(*environ);
  return out;
}

std::optional<std::string> CommandOutput(const Invocation& invocation) {
  switch (invocation.command) {
    case Command::kServe:
    case Command::kExport:
    case Command::kImport:
      return std::nullopt;
    case Command::kConfigCheck:
      return "the configuration is valid\n";
    case Command::kConfigDump:
      return DumpToml(invocation.effective);
    case Command::kConfigDocs:
      return ConfigurationMarkdown();
    case Command::kVersion:
      return fmt::format("graspd {} ({})\n", base::BuildVersion(), base::BuildCommit());
    case Command::kHelp:
      return HelpText();
  }
  return std::nullopt;
}

nostr::Limits LimitsWithin(nostr::Limits limits, size_t memory_bytes) {
  limits.neg_memory_bytes = std::min(limits.neg_memory_bytes, memory_bytes / 2);
  for (auto* bytes :
       {&limits.inbound_total_bytes, &limits.outbound_total_bytes, &limits.filter_total_bytes}) {
    *bytes = std::min(*bytes, memory_bytes / 4);
  }
  return limits;
}

absl::StatusOr<std::vector<nostr::RelayUrl>> DefaultRelayUrls(
    const std::vector<net::ListenAddress>& listen) {
  std::vector<nostr::RelayUrl> urls;
  bool ports_known = true;
  for (const net::ListenAddress& address : listen) {
    if (!address.unix_path.empty() || address.is_wildcard()) {
      return absl::InvalidArgumentError(
          fmt::format("relay.urls: must be set, because relay.listen has {}, from which our public "
                      "name does not follow",
                      address.ToString()));
    }
    ports_known = ports_known && address.tcp.port != 0;
    if (!ports_known) continue;  // the others still have to be looked at
    GRASPD_ASSIGN_OR_RETURN(auto url, nostr::RelayUrl::Parse("ws://" + address.tcp.ToString()));
    urls.push_back(std::move(url));
  }
  if (!ports_known) urls.clear();
  return urls;
}

}  // namespace graspd::daemon
