#include "services/graspd/settings_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <utility>

#include "services/graspd/command_options.h"
#include "services/graspd/settings_values.h"

namespace graspd::daemon {
namespace {

constexpr std::string_view kVariablePrefix = "GRASPD_";
constexpr size_t kMaxFileBytes = 1u << 20;

/// How a setting is spelled in one source.
using Spelling = std::string (*)(const SettingSpec&);
std::string KeyOf(const SettingSpec& spec) { return std::string(spec.name); }
std::string FlagOf(const SettingSpec& spec) { return spec.Flag(); }
std::string VariableOf(const SettingSpec& spec) { return spec.Variable(); }

const SettingSpec* Find(std::string_view name, Spelling spelling) {
  for (const SettingSpec& spec : SettingTable()) {
    if (spelling(spec) == name) return &spec;
  }
  return nullptr;
}

std::string Suggestion(std::string_view name, std::vector<std::string> names) {
  const std::string nearest = NearestName(name, names);
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
}

std::vector<std::string> Names(Spelling spelling) {
  std::vector<std::string> names;
  for (const SettingSpec& spec : SettingTable()) names.push_back(spelling(spec));
  return names;
}

struct NamedCommand {
  std::string_view words;
  Command command;
};
constexpr NamedCommand kCommands[] = {{"serve", Command::kServe},
                                      {"export", Command::kExport},
                                      {"import", Command::kImport},
                                      {"config check", Command::kConfigCheck},
                                      {"config dump", Command::kConfigDump},
                                      {"config docs", Command::kConfigDocs},
                                      {"version", Command::kVersion},
                                      {"help", Command::kHelp}};

/// Walks the arguments once.
class ArgumentReader {
 public:
  explicit ArgumentReader(const std::vector<std::string>& arguments) : arguments_(arguments) {}

  GivenArguments Read() && {
    for (; next_ < arguments_.size(); ++next_) {
      const std::string& argument = arguments_[next_];
      if (argument == "--help" || argument == "-h") return Only(Command::kHelp);
      if (argument == "--version") return Only(Command::kVersion);
      if (argument.starts_with("-") && argument != "-") {
        ReadFlag(argument);
      } else {
        words_.push_back(argument);
      }
    }
    ReadCommand();
    if (out_.command == Command::kHelp) return Only(Command::kHelp);
    return std::move(out_);
  }

 private:
  static GivenArguments Only(Command command) {
    GivenArguments out;
    out.command = command;
    return out;
  }

  void ReadFlag(const std::string& argument) {
    const size_t equals = std::min(argument.find('='), argument.size());
    const std::string flag = argument.substr(0, equals);
    if (const CommandOption* option = FindCommandOption(flag)) {
      return ReadOption(*option, argument, equals);
    }
    const SettingSpec* spec = Find(flag, FlagOf);
    if (spec == nullptr && flag != "--config") {
      std::vector<std::string> names = Names(FlagOf);
      names.insert(names.end(), {"--config", "--help", "--version"});
      for (const CommandOption& option : CommandOptions()) names.emplace_back(option.name);
      out_.problems.push_back(
          fmt::format("unknown flag {}{}", flag, Suggestion(flag, std::move(names))));
      SkipValueOfUnknown(argument);
      return;
    }
    std::optional<std::string> value = TakeValue(argument, equals);
    if (!value.has_value()) {
      out_.problems.push_back(
          fmt::format("{} needs a value: {}", flag, spec == nullptr ? "a file" : spec->allowed));
    } else if (spec == nullptr) {
      out_.config_file = *std::move(value);
    } else {
      Give(*spec, flag, *std::move(value));
    }
  }

  void ReadOption(const CommandOption& option, const std::string& argument, size_t equals) {
    if (option.value.empty()) {
      if (equals < argument.size()) {
        out_.problems.push_back(fmt::format("{} takes no value", option.name));
      }
      options_.emplace_back(&option, "");
    } else if (auto value = TakeValue(argument, equals)) {
      options_.emplace_back(&option, *std::move(value));
    } else {
      out_.problems.push_back(fmt::format("{} needs a value: {}", option.name, option.value));
    }
  }

  std::optional<std::string> TakeValue(const std::string& argument, size_t equals) {
    if (equals < argument.size()) return argument.substr(equals + 1);
    if (next_ + 1 == arguments_.size() || arguments_[next_ + 1].starts_with("--")) {
      return std::nullopt;
    }
    return arguments_[++next_];
  }

  /// So that the value of a misspelt flag is not reported as an unknown command too.
  void SkipValueOfUnknown(const std::string& argument) {
    if (argument.find('=') == std::string::npos && next_ + 1 < arguments_.size() &&
        !arguments_[next_ + 1].starts_with("-")) {
      ++next_;
    }
  }

  void Give(const SettingSpec& spec, const std::string& flag, std::string value) {
    const auto earlier = std::find_if(out_.values.begin(), out_.values.end(),
                                      [&](const GivenValue& given) { return given.spec == &spec; });
    if (earlier == out_.values.end()) {
      RawValue raw{RawValue::Kind::kText, std::move(value), {}};
      out_.values.push_back({&spec, std::move(raw), SettingSource::kFlag, flag});
    } else if (spec.list) {
      earlier->value.text += "," + value;
    } else {
      earlier->value.text = std::move(value);
    }
  }

  void ReadCommand() {
    if (!words_.empty() && words_.front() == "import") {
      out_.command = Command::kImport;
      if (words_.size() > 1) out_.import_request.files.assign(words_.begin() + 1, words_.end());
    } else {
      ReadNamedCommand(fmt::format("{}", fmt::join(words_, " ")));
    }
    const auto problems = ApplyCommandOptions(options_, out_);
    out_.problems.insert(out_.problems.end(), problems.begin(), problems.end());
  }

  void ReadNamedCommand(const std::string& given) {
    if (given.empty()) return;
    std::vector<std::string> names;
    for (const auto& [words, command] : kCommands) {
      if (words == given) {
        out_.command = command;
        return;
      }
      names.emplace_back(words);
    }
    const bool config = given == "config";
    out_.problems.push_back(fmt::format(
        "unknown command \"{}\"{}", given,
        config ? "; it needs check, dump or docs" : Suggestion(given, std::move(names))));
  }

  const std::vector<std::string>& arguments_;
  size_t next_ = 0;
  std::vector<std::string> words_;
  GivenOptions options_;
  GivenArguments out_;
};

/// Names after the prefix that Kubernetes makes for services ("service links").
bool IsKubernetesServiceLink(const std::string& name) {
  static const std::regex pattern(
      "GRASPD_([A-Z0-9_]+_)?"
      "(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
      ")");
  return std::regex_match(name, pattern);
}

/// Turns a TOML document into given values.
class TomlReader {
 public:
  explicit TomlReader(const std::string& path) : path_(path) {}

  Given Read(const toml::table& document) && {
    ReadTable(document, "");
    return std::move(out_);
  }

 private:
  void ReadTable(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      const std::string origin = fmt::format("{}:{}", path_, key.source().begin.line);
      if (const SettingSpec* spec = Find(name, KeyOf); spec != nullptr) {
        out_.values.push_back({spec, ReadNode(node), SettingSource::kFile, origin});
      } else if (node.is_table() && IsSection(name)) {
        ReadTable(*node.as_table(), name + ".");
      } else {
        out_.problems.push_back(
            fmt::format("unknown key {} ({}){}", name, origin, Suggestion(name, Names(KeyOf))));
      }
    }
  }

  static bool IsSection(const std::string& name) {
    return std::any_of(SettingTable().begin(), SettingTable().end(),
                       [&](const auto& spec) { return spec.name.starts_with(name + "."); });
  }

  static RawValue ReadNode(const toml::node& node) {
    using Kind = RawValue::Kind;
    if (const auto* text = node.as_string()) return {Kind::kString, text->get(), {}};
    if (const auto* number = node.as_integer()) {
      return {Kind::kInteger, fmt::to_string(number->get()), {}};
    }
    if (const auto* number = node.as_floating_point()) {
      return {Kind::kFloat, fmt::to_string(number->get()), {}};
    }
    if (const auto* truth = node.as_boolean()) {
      return {Kind::kBoolean, truth->get() ? "true" : "false", {}};
    }
    if (const auto* array = node.as_array()) return ReadArray(*array);
    return {Kind::kOther, "(a table or a date)", {}};
  }

  static RawValue ReadArray(const toml::array& array) {
    RawValue out{RawValue::Kind::kArray, "", {}};
    for (const toml::node& item : array) {
      if (!item.is_string() && !item.is_integer()) {
        return {RawValue::Kind::kOther, "(an array not only of strings and whole numbers)", {}};
      }
      out.items.push_back(ReadNode(item).text);
      out.text += (out.text.empty() ? "" : ", ") + out.items.back();
    }
    return out;
  }

  const std::string& path_;
  Given out_;
};

Given FileProblem(const std::string& path, std::string_view what) {
  return {{}, {fmt::format("cannot read the configuration file {}: {}", path, what)}};
}

}  // namespace

GivenArguments ReadArguments(const std::vector<std::string>& arguments) {
  return ArgumentReader(arguments).Read();
}

Given ReadEnvironment(const std::vector<std::string>& environment) {
  Given out;
  for (const std::string& entry : environment) {
    if (!entry.starts_with(kVariablePrefix)) continue;
    const size_t equals = std::min(entry.find('='), entry.size());
    const std::string name = entry.substr(0, equals);
    if (const SettingSpec* spec = Find(name, VariableOf); spec != nullptr) {
      RawValue raw{RawValue::Kind::kText, entry.substr(std::min(equals + 1, entry.size())), {}};
      out.values.push_back({spec, std::move(raw), SettingSource::kEnvironment, name});
    } else if (!IsKubernetesServiceLink(name)) {
      out.problems.push_back(fmt::format("unknown environment variable {}{}", name,
                                         Suggestion(name, Names(VariableOf))));
    }
  }
  return out;
}

Given ReadTomlFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return FileProblem(path, "it does not exist or may not be read");
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return FileProblem(path, "reading failed");
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) return FileProblem(path, "it is larger than 1 MiB");
  return ReadToml(text, path);
}

Given ReadToml(std::string_view text, const std::string& path) {
  try {
    return TomlReader(path).Read(toml::parse(text, path));
  } catch (const toml::parse_error& error) {
    return FileProblem(path,
                       fmt::format("line {}: {}", error.source().begin.line, error.description()));
  }
}

}  // namespace graspd::daemon
