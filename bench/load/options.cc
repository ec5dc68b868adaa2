#include "bench/load/options.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>
#include <variant>

#include "base/overloaded.h"
#include "base/status_macros.h"

namespace graspd::bench {
namespace {

struct ModeInfo {
  Mode mode;
  std::string_view name, summary;
};
constexpr std::array kModes = {
    ModeInfo{Mode::kIngest, "ingest", "publish events, each waiting for its OK"},
    ModeInfo{Mode::kReq, "req", "ask for stored events, one query in flight a connection"},
    ModeInfo{Mode::kFanout, "fanout", "publish to many live subscriptions, count every delivery"},
    ModeInfo{Mode::kIdle, "idle", "open many connections, and what each costs"},
    ModeInfo{Mode::kNegentropy, "negentropy", "reconcile with the relay (NIP-77)"},
    ModeInfo{Mode::kCatchup, "catchup", "be the remote that graspd catches up with"},
    ModeInfo{Mode::kDiscovery, "discovery", "be the remotes that graspd discovers, and follows"},
};

using Field = std::variant<bool Options::*, size_t Options::*, double Options::*,
                           std::string Options::*, std::vector<std::string> Options::*>;

constexpr unsigned Bit(Mode mode) { return 1U << static_cast<unsigned>(mode); }
constexpr unsigned kIngest = Bit(Mode::kIngest), kReq = Bit(Mode::kReq),
                   kFanout = Bit(Mode::kFanout), kIdle = Bit(Mode::kIdle),
                   kNegentropy = Bit(Mode::kNegentropy), kCatchup = Bit(Mode::kCatchup),
                   kDiscovery = Bit(Mode::kDiscovery);
constexpr unsigned kAll = kIngest | kReq | kFanout | kIdle | kNegentropy | kCatchup | kDiscovery;
constexpr unsigned kWithEvents = kAll & ~kIdle, kFromFile = kWithEvents & ~kCatchup & ~kDiscovery,
                   kLoading = kReq | kNegentropy | kCatchup;

struct OptionSpec {
  std::string_view name;
  unsigned modes;
  std::string_view value;  // what the help calls it
  Field field;
  std::string_view help;
};

const std::vector<OptionSpec>& Specs() {
  static const std::vector<OptionSpec> specs = {
      {"url", kAll, "ws://HOST:PORT", &Options::url, "the relay"},
      {"pid", kAll, "PID", &Options::pid, "the relay's process, to report its CPU and memory"},
      {"timeout", kAll, "SECONDS", &Options::timeout,
       "fail when nothing has come from the relay for so long"},
      {"connections", kIngest | kReq | kFanout | kIdle, "N", &Options::connections,
       "connections (in fanout: subscribers; the publisher has one more)"},
      {"count", kFromFile | kCatchup, "N", &Options::count, "events"},
      {"first", kFromFile, "I", &Options::first,
       "start at the I-th event of the seed: for events that the relay does not have yet"},
      {"seed", kWithEvents, "N", &Options::seed, "which events: equal seeds give equal events"},
      {"now", kWithEvents, "UNIX", &Options::now,
       "created_at of event 0, about; it rises by one second an event"},
      {"events", kFromFile, "FILE", &Options::events,
       "keep the signed events in FILE (gzip if it ends in .gz) and take them from there"},
      {"no-load", kLoading, "", &Options::no_load,
       "the relay holds the events already (catchup: with --equal)"},
      {"in-flight", kIngest | kLoading, "N", &Options::in_flight,
       "events that one connection sends ahead of their OKs"},
      {"verify-baseline", kIngest | kCatchup, "", &Options::verify_baseline,
       "measure the verification of the same signatures alone, and the ratio"},
      {"filter", kReq | kIdle | kFanout | kNegentropy, "FILTER", &Options::filters,
       "a filter as JSON; req: or kinds500, or authors20, may be repeated"},
      {"queries", kReq, "N", &Options::queries, "queries of each filter"},
      {"burst", kFanout, "N", &Options::burst,
       "events sent at once, two bursts ahead at most; 1: one after another"},
      {"paced", kFanout, "RATE", &Options::paced, "instead, so many events a second, one by one"},
      {"send-baseline", kFanout, "", &Options::send_baseline,
       "measure send() of the same bytes to as many sockets alone, and the ratio"},
      {"subscribe", kIdle, "", &Options::subscribe, "then each connection opens a subscription"},
      {"hold", kIdle | kDiscovery, "SECONDS", &Options::hold, "how long to do nothing"},
      {"difference", kNegentropy, "PERCENT", &Options::difference,
       "of the items are on one side only, half of them on each"},
      {"frame-bytes", kNegentropy, "N", &Options::frame_bytes,
       "our largest message, before hex; 0 = no limit"},
      {"issues", kCatchup, "N", &Options::issues,
       "so many of the events are issues, the rest comments on them; each costs filters"},
      {"delay", kCatchup, "MS", &Options::delay,
       "hold back what goes to the remote, and what comes from it, for so long"},
      {"equal", kCatchup, "", &Options::equal,
       "first publish all events, so that there is nothing to catch up with"},
      {"rounds", kDiscovery, "N", &Options::rounds, "repositories, each with a remote of its own"},
      {"idle", kDiscovery, "N", &Options::remotes,
       "instead, N remotes that have nothing, and what they cost"},
  };
  return specs;
}

const ModeInfo& InfoOf(Mode mode) { return kModes[static_cast<size_t>(mode)]; }

std::optional<Mode> FindMode(std::string_view name) {
  for (const auto& info : kModes) {
    if (info.name == name) return info.mode;
  }
  return std::nullopt;
}

const OptionSpec* FindSpec(Mode mode, std::string_view name) {
  for (const auto& spec : Specs()) {
    if (spec.name == name && (spec.modes & Bit(mode)) != 0) return &spec;
  }
  return nullptr;
}

template <typename Number>
bool ParseNumber(std::string_view text, Number& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && stop == end;
}

absl::Status Bad(const OptionSpec& spec, std::string_view value) {
  return absl::InvalidArgumentError(
      fmt::format("--{} takes {}, not '{}'", spec.name, spec.value, value));
}

absl::Status Assign(const OptionSpec& spec, std::string_view value, Options& options) {
  const bool ok = std::visit(
      base::Overloaded{
          [&](bool Options::*field) { return options.*field = true; },
          [&](size_t Options::*field) { return ParseNumber(value, options.*field); },
          [&](double Options::*field) {
            const bool rate = value.ends_with("/s");
            return ParseNumber(value.substr(0, value.size() - (rate ? 2 : 0)), options.*field) &&
                   std::isfinite(options.*field) && options.*field >= 0;
          },
          [&](std::string Options::*field) { return !(options.*field = value).empty(); },
          [&](std::vector<std::string> Options::*field) {
            (options.*field).emplace_back(value);
            return !value.empty();
          }},
      spec.field);
  return ok ? absl::OkStatus() : Bad(spec, value);
}

absl::Status Check(const Options& options) {
  if (options.url.empty()) return absl::InvalidArgumentError("--url is missing");
  const std::pair<std::string_view, size_t> positive[] = {
      {"connections", options.connections}, {"count", options.count},
      {"in-flight", options.in_flight},     {"burst", options.burst},
      {"queries", options.queries},         {"rounds", options.rounds},
      {"issues", options.issues},
  };
  for (const auto& [name, value] : positive) {
    if (value == 0) return absl::InvalidArgumentError(fmt::format("--{} must be positive", name));
  }
  if (options.timeout <= 0) return absl::InvalidArgumentError("--timeout must be positive");
  if (options.difference > 100) return absl::InvalidArgumentError("--difference: at most 100");
  if (options.mode == Mode::kCatchup && options.no_load && !options.equal) {
    return absl::InvalidArgumentError("--no-load: only with --equal");
  }
  if (options.equal && options.verify_baseline) {
    return absl::InvalidArgumentError("--verify-baseline: nothing is verified with --equal");
  }
  if (options.mode != Mode::kReq && options.filters.size() > 1) {
    return absl::InvalidArgumentError("--filter: one is enough here");
  }
  return absl::OkStatus();
}

std::string DefaultText(const Options& defaults, const Field& field) {
  return std::visit(
      base::Overloaded{
          [](bool Options::*) { return std::string(); },
          [&](size_t Options::*f) { return defaults.*f == 0 ? "" : std::to_string(defaults.*f); },
          [&](double Options::*f) {
            return defaults.*f == 0 ? "" : fmt::format("{}", defaults.*f);
          },
          [&](std::string Options::*f) { return defaults.*f; },
          [&](std::vector<std::string> Options::*f) {
            return fmt::format("{}", fmt::join(defaults.*f, ", "));
          }},
      field);
}

}  // namespace

std::string_view ModeName(Mode mode) { return InfoOf(mode).name; }

Options DefaultOptions(Mode mode) {
  Options options;
  options.mode = mode;
  options.timeout = 60;
  options.connections = 8;
  options.count = 100'000;
  options.in_flight = 128;
  options.queries = 2'000;
  options.burst = 20;
  options.hold = 5;
  options.difference = 1;
  options.frame_bytes = 60'000;
  options.rounds = 200;
  options.issues = 1'000;
  switch (mode) {
    case Mode::kIngest:
      break;
    case Mode::kReq:
      options.filters = {"kinds500", "authors20"};
      break;
    case Mode::kFanout:
      options.connections = 1'000;
      options.count = 2'000;
      options.filters = {R"({"kinds":[1111],"limit":1})"};
      break;
    case Mode::kIdle:
      options.connections = 5'000;
      options.filters = {R"({"kinds":[1111],"limit":1})"};
      break;
    case Mode::kNegentropy:
      options.count = 1'000'000;
      options.filters = {R"({"kinds":[1111]})"};
      break;
    case Mode::kCatchup:
      break;
    case Mode::kDiscovery:
      options.hold = 30;
      break;
  }
  return options;
}

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return absl::InvalidArgumentError("which mode?");
  const auto mode = FindMode(arguments[0]);
  if (!mode) return absl::InvalidArgumentError(fmt::format("unknown mode '{}'", arguments[0]));
  Options options = DefaultOptions(*mode);
  const auto default_filters = std::exchange(options.filters, {});
  for (size_t i = 1; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    const size_t equals = argument.find('=');
    const std::string_view flag = argument.substr(0, equals);
    const auto* spec = flag.starts_with("--") ? FindSpec(*mode, flag.substr(2)) : nullptr;
    if (spec == nullptr) {
      return absl::InvalidArgumentError(fmt::format("{} has no option '{}'", arguments[0], flag));
    }
    const bool is_switch = std::holds_alternative<bool Options::*>(spec->field);
    if (is_switch && equals != std::string_view::npos) {
      return absl::InvalidArgumentError(fmt::format("{} takes no value", flag));
    }
    std::string_view value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (!is_switch) {
      if (++i == arguments.size()) {
        return absl::InvalidArgumentError(fmt::format("{} lacks its value", flag));
      }
      value = arguments[i];
    }
    GRASPD_RETURN_IF_ERROR(Assign(*spec, value, options));
  }
  if (options.filters.empty()) options.filters = default_filters;
  GRASPD_RETURN_IF_ERROR(Check(options));
  return options;
}

std::string GeneralHelp() {
  std::string out =
      "graspd-bench MODE --url ws://HOST:PORT [OPTION...]\n"
      "Measures a Nostr relay: any that speaks NIP-01 (negentropy: NIP-77; catchup and\n"
      "discovery: a graspd that syncs, in archive mode, from 127.0.0.0/8). A summary goes to\n"
      "standard error, one JSON object to standard output. Exit code 1: the run failed or the\n"
      "relay's answers were wrong; 2: the arguments were.\n\nModes:\n";
  for (const auto& info : kModes) {
    out += fmt::format("  {:<12}{}\n", info.name, info.summary);
  }
  return out + "\ngraspd-bench MODE --help lists the options of a mode.\n";
}

std::string ModeHelp(Mode mode) {
  const Options defaults = DefaultOptions(mode);
  std::string out = fmt::format("graspd-bench {} --url ws://HOST:PORT [OPTION...]\n{}\n\n",
                                ModeName(mode), InfoOf(mode).summary);
  for (const auto& spec : Specs()) {
    if ((spec.modes & Bit(mode)) == 0) continue;
    const std::string text = DefaultText(defaults, spec.field);
    out += fmt::format("  {:<24}{}{}\n", fmt::format("--{} {}", spec.name, spec.value), spec.help,
                       text.empty() ? "" : fmt::format(" [{}]", text));
  }
  return out;
}

}  // namespace graspd::bench
