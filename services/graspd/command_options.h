// The options of `export` and `import`. They are no settings: neither variables nor the file give
// them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/graspd/settings_sources.h"

namespace graspd::daemon {

/// One row of the help.
struct CommandOption {
  Command command = Command::kServe;  // whose option it is
  std::string_view name;              // --output
  std::string_view value;             // what it takes: FILE; empty = nothing
  std::string_view help;
};

const std::vector<CommandOption>& CommandOptions();
[[nodiscard]] const CommandOption* FindCommandOption(std::string_view name);

/// As given, in order; the values are empty for those that take none.
using GivenOptions = std::vector<std::pair<const CommandOption*, std::string>>;

/// Fills in the requests of `out`, whose command is known. Returns what is wrong, one line each.
std::vector<std::string> ApplyCommandOptions(const GivenOptions& given, GivenArguments& out);

}  // namespace graspd::daemon
