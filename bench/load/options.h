// The command line of graspd-bench.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace graspd::bench {

enum class Mode { kIngest, kReq, kFanout, kIdle, kNegentropy, kCatchup, kDiscovery };
[[nodiscard]] std::string_view ModeName(Mode mode);

/// What to do. Each mode has its own defaults and reads only the fields its help names.
struct Options {
  Mode mode = Mode::kIngest;
  bool help = false;

  // Every mode.
  std::string url;
  size_t pid = 0;      // the relay's, for its CPU and memory; 0 = not measured
  double timeout = 0;  // seconds without a byte from the relay after which a run has failed
  size_t connections = 0;

  // Events.
  size_t seed = 1;
  size_t now = 1'780'000'000;  // created_at of the first event, about
  size_t first = 0;            // index of the first event
  size_t count = 0;
  std::string events;  // file that keeps the signed events
  bool no_load = false;

  // Single modes.
  size_t in_flight = 0;  // EVENTs of one connection without their OK
  bool verify_baseline = false;
  std::vector<std::string> filters;
  size_t queries = 0;
  size_t burst = 0;
  double paced = 0;  // events per second; 0 = bursts
  bool send_baseline = false;
  bool subscribe = false;
  double hold = 0;        // seconds
  double difference = 0;  // per cent
  size_t frame_bytes = 0;
  double delay = 0;    // milliseconds, each way
  size_t issues = 0;   // of the events; the rest are comments on them
  bool equal = false;  // the relay holds everything before it catches up
  size_t rounds = 0;   // repositories, one after another
  size_t remotes = 0;  // idle ones instead of rounds; 0 = rounds
};

[[nodiscard]] Options DefaultOptions(Mode mode);

/// Reads the arguments behind the program's name. `--name value` and `--name=value` are the same.
/// Errors: kInvalidArgument, with a message for the user.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

/// How to use the program.
[[nodiscard]] std::string GeneralHelp();
/// The options of one mode, with their defaults.
[[nodiscard]] std::string ModeHelp(Mode mode);

}  // namespace graspd::bench
