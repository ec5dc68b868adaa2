#include "services/graspd/command_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "base/status_macros.h"
#include "nostr/nip19.h"
#include "services/graspd/settings_values.h"

namespace graspd::daemon {
namespace {

constexpr uint64_t kLatest = uint64_t{1} << 53;  // created_at cannot be above

absl::Status SetKinds(const std::string& text, nostr::Filter& filter) {
  filter.kinds.emplace();
  for (const std::string& item : SplitList(text)) {
    GRASPD_ASSIGN_OR_RETURN(const uint64_t kind, ParseCount(item));
    if (kind > std::numeric_limits<nostr::Kind>::max()) return absl::InvalidArgumentError("");
    filter.kinds->push_back(static_cast<nostr::Kind>(kind));
  }
  return absl::OkStatus();
}

absl::Status SetAuthors(const std::string& text, nostr::Filter& filter) {
  filter.authors.emplace();
  for (const std::string& item : SplitList(text)) {
    if (item.starts_with("npub1")) {
      GRASPD_ASSIGN_OR_RETURN(filter.authors->emplace_back(), nostr::DecodeNpub(item));
      continue;
    }
    const auto author = nostr::PublicKey::FromHex(item);
    if (!author) return absl::InvalidArgumentError("");
    filter.authors->push_back(*author);
  }
  return absl::OkStatus();
}

absl::Status SetTime(const std::string& text, std::optional<uint64_t>& time) {
  GRASPD_ASSIGN_OR_RETURN(const uint64_t value, ParseCount(text));
  if (value > kLatest) return absl::InvalidArgumentError("");
  time = value;
  return absl::OkStatus();
}

absl::Status SetFilter(const std::string& text, nostr::Filter& filter) {
  GRASPD_ASSIGN_OR_RETURN(filter, nostr::ParseFilter(text));
  if (!filter.limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "an export has an order of its own, so that limit says nothing");
}

absl::Status Apply(std::string_view name, const std::string& value, GivenArguments& out) {
  nostr::Filter& filter = out.export_request.filter;
  if (name == "--output") out.export_request.output = value;
  if (name == "--kinds") return SetKinds(value, filter);
  if (name == "--authors") return SetAuthors(value, filter);
  if (name == "--since") return SetTime(value, filter.since);
  if (name == "--until") return SetTime(value, filter.until);
  if (name == "--filter") return SetFilter(value, filter);
  if (name == "--strict") out.import_request.strict = true;
  if (name == "--url") {
    GRASPD_ASSIGN_OR_RETURN(out.import_request.url, nostr::RelayUrl::Parse(value));
  }
  return absl::OkStatus();
}

bool IsCondition(std::string_view name) {
  return name == "--kinds" || name == "--authors" || name == "--since" || name == "--until";
}

}  // namespace

const std::vector<CommandOption>& CommandOptions() {
  static const std::vector<CommandOption> options = {
      {Command::kExport, "--output", "FILE",
       "Where to, gzip-compressed if the name ends in .gz; - (the default) is standard output. The "
       "file appears when it is complete."},
      {Command::kExport, "--kinds", "KIND,...", "Only events of these kinds."},
      {Command::kExport, "--authors", "KEY,...",
       "Only events by these authors, in hex or as npub."},
      {Command::kExport, "--since", "SECONDS", "Only events created at this Unix time or later."},
      {Command::kExport, "--until", "SECONDS", "Only events created at this Unix time or before."},
      {Command::kExport, "--filter", "JSON",
       "Only events that match this NIP-01 filter; not together with the four before."},
      {Command::kImport, "--url", "URL",
       "Through the relay port at this URL, as any client, instead of into the store: for a graspd "
       "that runs."},
      {Command::kImport, "--strict", "", "Exit with 1 if any event was refused."},
  };
  return options;
}

const CommandOption* FindCommandOption(std::string_view name) {
  for (const CommandOption& option : CommandOptions()) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

std::vector<std::string> ApplyCommandOptions(const GivenOptions& given, GivenArguments& out) {
  std::vector<std::string> problems;
  bool filter = false, conditions = false;
  for (const auto& [option, value] : given) {
    if (option->command != out.command) {
      problems.push_back(fmt::format("{} belongs to the command {}", option->name,
                                     option->command == Command::kExport ? "export" : "import"));
      continue;
    }
    filter |= option->name == "--filter";
    conditions |= IsCondition(option->name);
    const absl::Status status = Apply(option->name, value, out);
    if (status.ok()) continue;
    const std::string reason(status.message());
    problems.push_back(fmt::format("{} {}: must be {}{}", option->name, TomlString(value),
                                   option->value, reason.empty() ? "" : " (" + reason + ")"));
  }
  if (filter && conditions) {
    problems.emplace_back(
        "--filter says it all: not together with --kinds, --authors, --since, "
        "--until");
  }
  if (problems.empty() && out.export_request.filter.MatchesNothing()) {
    problems.emplace_back(
        "--kinds, --authors, --filter: no event matches an empty list; leave it out to export all");
  }
  out.export_request.filter.Normalize();
  return problems;
}

}  // namespace graspd::daemon
