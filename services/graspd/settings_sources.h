// Where values come from: the command line, the environment, a TOML file. Nothing here knows what a
// value should be; unknown names are reported.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/graspd/settings.h"
#include "services/graspd/settings_table.h"

namespace graspd::daemon {

/// One value that one source gives to one setting.
struct GivenValue {
  const SettingSpec* spec = nullptr;
  RawValue value;
  SettingSource source = SettingSource::kDefault;
  std::string origin;  // as in EffectiveSetting
};

/// What a source holds, and what is wrong with it, one line each.
struct Given {
  std::vector<GivenValue> values;
  std::vector<std::string> problems;
};

struct GivenArguments : Given {
  Command command = Command::kServe;
  std::string config_file;  // of --config; empty = none
  ExportRequest export_request;
  ImportRequest import_request;
};

/// Flags are `--name value` or `--name=value`; a scalar given twice counts once, the last, and
/// lists add up. --help and --version, and `help`, win over whatever else is there, mistakes
/// included.
GivenArguments ReadArguments(const std::vector<std::string>& arguments);

/// Every GRASPD_* variable must be a setting's, save those that Kubernetes injects into a pod for a
/// service called "graspd" or "graspd-..." (GRASPD_SERVICE_HOST, GRASPD_PORT_7334_TCP, ...).
Given ReadEnvironment(const std::vector<std::string>& environment);

/// Reads a file of at most 1 MiB.
Given ReadTomlFile(const std::string& path);

/// The same for a file's text; `path` is for messages.
Given ReadToml(std::string_view text, const std::string& path);

}  // namespace graspd::daemon
