// The texts made from the table: --help, docs/configuration.md and `config dump`.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "services/graspd/command_options.h"
#include "services/graspd/settings.h"
#include "services/graspd/settings_table.h"

namespace graspd::daemon {
namespace {

constexpr std::string_view kUsage =
    R"(graspd: a Nostr relay for git collaboration that keeps relays together

Usage: graspd [COMMAND] [--config FILE] [--SETTING VALUE]...

Commands:
  serve         run the relay (the default)
  export        write the stored events to a file, one JSON object per line; also while graspd runs
  import FILE.. store the events of files (plain or gzip, - is standard input); while graspd runs
                with --url. What is refused is named on standard error, one line per event; exits
                with 1 if not everything could be read and answered
  config check  read the settings as `serve` would, and say what is wrong with them
  config dump   print the settings in effect, and where each comes from, as TOML
  config docs   print the reference of all settings as Markdown
  version       print version and commit
  help          print this

A flag wins over its environment variable, that over the file, that over the default. The variable
of --relay-listen is GRASPD_RELAY_LISTEN, its key in the file relay.listen. The items of a list are
separated by commas.
)";

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Made by `graspd config docs` from services/graspd/settings_table.cc: change it there. -->

Every setting has a dotted name. It can be given as a flag, as an environment variable or in a
[TOML](https://toml.io) file named by `--config FILE`; a flag wins over the environment, that over the
file, that over the default. For `sync.allow_cidrs`:

| where | form |
|---|---|
| flag | `--sync-allow-cidrs 10.0.0.0/8,192.168.0.0/16` (may be repeated) |
| environment | `GRASPD_SYNC_ALLOW_CIDRS=10.0.0.0/8,192.168.0.0/16` |
| file | `allow_cidrs = ["10.0.0.0/8", "192.168.0.0/16"]` below `[sync]` |

graspd refuses to start on unknown flags, keys or `GRASPD_*` variables and on values that are not
allowed; `graspd config check` tells without starting, `graspd config dump` prints what is in effect
and where it comes from. Sizes are bytes or have a suffix (`KiB`, `MiB`, `GiB`, `TiB`); durations
always have one (`ms`, `s`, `m`, `h`).
)";

std::string_view Section(std::string_view name) {
  const size_t dot = name.find('.');
  return dot == std::string_view::npos ? "" : name.substr(0, dot);
}

std::string Default(const SettingSpec& spec) {
  static const Settings defaults;
  return spec.default_note.empty() ? fmt::format("`{}`", spec.toml(defaults))
                                   : std::string(spec.default_note);
}

/// Breaks `text` at spaces so that lines, indented, stay within 100 columns.
std::string Wrapped(std::string_view text, std::string_view indent) {
  const size_t width = 100 - indent.size();
  std::string out;
  while (!text.empty()) {
    size_t end = text.size();
    if (end > width) {
      end = text.rfind(' ', width);
      if (end == std::string_view::npos) end = std::min(text.find(' '), text.size());
    }
    out += fmt::format("{}{}\n", indent, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::string HelpText() {
  std::string out(kUsage);
  for (const auto& [command, title] : {std::pair(Command::kExport, "\nOptions of export:\n"),
                                       std::pair(Command::kImport, "\nOptions of import:\n")}) {
    out += title;
    for (const CommandOption& option : CommandOptions()) {
      if (option.command != command) continue;
      out += fmt::format("  {}{}{}\n", option.name, option.value.empty() ? "" : " ", option.value);
      out += Wrapped(option.help, "      ");
    }
  }
  out += "\nSettings:\n";
  out += "  --config FILE\n" + Wrapped("A TOML file with settings.", "      ");
  for (const SettingSpec& spec : SettingTable()) {
    out += fmt::format("  {}\n", spec.Flag());
    out += Wrapped(spec.help, "      ");
    out += Wrapped(fmt::format("Value: {}. Default: {}", spec.allowed, Default(spec)), "      ");
  }
  return out;
}

std::string ConfigurationMarkdown() {
  std::string out(kIntroduction);
  std::string_view section = "none yet";
  for (const SettingSpec& spec : SettingTable()) {
    if (Section(spec.name) != section) {
      section = Section(spec.name);
      out += fmt::format("\n## {}\n\n| name | value | default | meaning |\n|---|---|---|---|\n",
                         section.empty() ? "store" : section);
    }
    out +=
        fmt::format("| `{}` | {} | {} | {} |\n", spec.name, spec.allowed, Default(spec), spec.help);
  }
  return out;
}

std::string DumpToml(const std::vector<EffectiveSetting>& effective) {
  std::string out;
  for (const EffectiveSetting& setting : effective) {
    out += fmt::format("{} = {}  # {}{}{}\n", setting.name, setting.value,
                       SettingSourceName(setting.source), setting.origin.empty() ? "" : " ",
                       setting.origin);
  }
  return out;
}

}  // namespace graspd::daemon
