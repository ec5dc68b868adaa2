// graspd-demo: what `make run` starts. A graspd, a second one as upstream with events in it, and a
// repository announcement that makes the first discover the second.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/line_reader.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/address_guard.h"
#include "net/dialer.h"
#include "net/io_pool.h"
#include "net/resolver.h"
#include "tools/demo/child_process.h"
#include "tools/demo/publisher.h"
#include "tools/demo/remote_table.h"
#include "tools/demo/repository.h"

namespace graspd::demo {
namespace {

namespace fs = std::filesystem;

constexpr char kRelay[] = "127.0.0.1:7334", kAdmin[] = "127.0.0.1:7335", kOps[] = "127.0.0.1:7336";
constexpr char kUpstream[] = "127.0.0.1:7344";
constexpr auto kStartTimeout = std::chrono::seconds(30);
constexpr auto kPublishTimeout = std::chrono::seconds(120);
constexpr auto kRefresh = std::chrono::milliseconds(200);

struct Options {
  std::string binary = "build/release/bin/graspd";
  std::string data = "data/demo";
  std::string events = "tests/data/real-events.jsonl.gz";
  std::string remotes;  // comma-separated; set = sync from these instead of the upstream
};

/// What a client on this machine needs to publish.
struct ClientSide {
  net::AddressGuard guard{{.allow = {*net::Cidr::Parse("127.0.0.0/8")}}};
  net::SystemResolver resolver;
  std::unique_ptr<net::Dialer> dialer = net::MakeDialer(guard, resolver, {});
  net::IoPool io{1};
};

// Unblocked by Ctrl-C only in WaitForStop().
sigset_t BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

// True if a signal to stop came within `wait`.
bool WaitForStop(const sigset_t& signals, std::chrono::milliseconds wait) {
  const timespec time{wait.count() / 1000, (wait.count() % 1000) * 1'000'000};
  return sigtimedwait(&signals, nullptr, &time) > 0;
}

absl::StatusOr<std::vector<nostr::Event>> ReadEvents(const std::string& path) {
  GRASPD_ASSIGN_OR_RETURN(auto reader, base::LineReader::Open(path));
  std::vector<nostr::Event> events;
  while (const auto line = reader.Next()) {
    GRASPD_ASSIGN_OR_RETURN(auto event, nostr::ParseEvent(*line));
    events.push_back(std::move(event));
  }
  GRASPD_RETURN_IF_ERROR(reader.status());
  return events;
}

absl::StatusOr<std::unique_ptr<ChildProcess>> StartGraspd(const Options& options) {
  std::vector<std::string> arguments = {options.binary, "--store=lmdb:" + options.data + "/store",
                                        "--relay-name=graspd demo", "--log-format=text",
                                        "--sync-startup-delay=1s"};  // somebody is watching
  if (options.remotes.empty()) {
    arguments.push_back("--sync-allow-cidrs=127.0.0.0/8");  // the upstream is on this machine
  } else {
    arguments.push_back("--policy-mode=archive");  // their announcements do not list us
    arguments.push_back("--sync-bootstrap=" + options.remotes);
  }
  return ChildProcess::Start(arguments, options.data + "/graspd.log", "graspd ready",
                             kStartTimeout);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> StartUpstream(const Options& options) {
  return ChildProcess::Start(
      {options.binary, "--store=memory:", std::string("--relay-listen=") + kUpstream,
       "--admin-listen=", "--ops-listen=", "--policy-mode=open", "--relay-name=demo upstream",
       "--limits-events-per-second=0", "--log-format=text"},
      options.data + "/upstream.log", "graspd ready", kStartTimeout);
}

absl::Status FillUpstream(const Options& options, const Repository& repository,
                          ClientSide& client) {
  GRASPD_ASSIGN_OR_RETURN(const auto real, ReadEvents(options.events));
  GRASPD_ASSIGN_OR_RETURN(const auto url, nostr::RelayUrl::Parse(std::string("ws://") + kUpstream));
  GRASPD_ASSIGN_OR_RETURN(const auto published,
                          Publish(*client.dialer, client.io.thread(0), url, real, kPublishTimeout));
  fmt::print("  real       {} public Nostr events of many kinds, {} refused by its limits\n",
             published.accepted, published.refused);
  GRASPD_ASSIGN_OR_RETURN(const auto generated, Publish(*client.dialer, client.io.thread(0), url,
                                                        repository.events, kPublishTimeout));
  fmt::print(
      "  generated  {} events of the repository \"lighthouse\": issues, patches, pull requests,\n"
      "             statuses, comments by several keys\n",
      generated.accepted);
  return absl::OkStatus();
}

absl::Status Announce(const Repository& repository, ClientSide& client) {
  GRASPD_ASSIGN_OR_RETURN(const auto url, nostr::RelayUrl::Parse(std::string("ws://") + kRelay));
  GRASPD_ASSIGN_OR_RETURN(const auto published,
                          Publish(*client.dialer, client.io.thread(0), url,
                                  {repository.announcement}, kPublishTimeout));
  if (published.accepted == 1) return absl::OkStatus();
  return absl::FailedPreconditionError("our relay refused the announcement: " +
                                       published.first_refusal);
}

void PrintHowTo(const Options& options) {
  const char* example = options.remotes.empty() ? "ws://127.0.0.1:7344" : "wss://relay.example";
  fmt::print(
      "\n"
      "  relay     ws://{}   (and http://{} in a browser)\n"
      "  ops       http://{}/metrics  /readyz  /livez\n"
      "  admin     grpcurl -plaintext {} graspd.admin.v1.RemoteService/ListRemotes\n"
      "            grpcurl -plaintext -d '{{\"remote\": \"{}\"}}' {} \\\n"
      "              graspd.admin.v1.RemoteService/PauseRemote      (and ResumeRemote)\n"
      "            grpcurl -plaintext {} describe graspd.admin.v1.RemoteService\n"
      "            (no grpcurl? tools/install_grpcurl.sh puts it at build/tools/bin/grpcurl)\n"
      "  logs      {}/graspd.log\n"
      "  Ctrl-C ends it; what is stored stays in {}/store and is not fetched again.\n\n",
      kRelay, kRelay, kOps, kAdmin, example, kAdmin, kAdmin, options.data, options.data);
}

absl::Status Watch(ChildProcess& graspd, const sigset_t& signals) {
  AdminClient admin(kAdmin);
  RemoteTable table(stdout);
  while (!WaitForStop(signals, kRefresh)) {
    if (!graspd.Running()) return absl::UnavailableError("graspd has ended; see its log");
    const auto rows = admin.ListRemotes();
    if (rows.ok()) table.Show(*rows);
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options, const sigset_t& signals) {
  std::error_code error;
  fs::create_directories(options.data, error);
  if (error) return absl::UnavailableError("cannot make " + options.data + ": " + error.message());

  ClientSide client;
  std::unique_ptr<ChildProcess> upstream;
  const auto repository = GenerateRepository(
      {std::string("ws://") + kRelay, std::string("ws://") + kUpstream}, {kRelay});
  if (options.remotes.empty()) {
    fmt::print("Filling an upstream relay (ws://{}, a graspd in open mode, in memory) with\n",
               kUpstream);
    GRASPD_ASSIGN_OR_RETURN(upstream, StartUpstream(options));
    GRASPD_RETURN_IF_ERROR(FillUpstream(options, repository, client));
  }
  GRASPD_ASSIGN_OR_RETURN(const auto graspd, StartGraspd(options));
  if (options.remotes.empty()) {
    GRASPD_RETURN_IF_ERROR(Announce(repository, client));
    fmt::print(
        "Published the announcement of \"lighthouse\" to graspd. It names the upstream: graspd\n"
        "discovers it, connects, and pulls what belongs to the repository. Announcements of other\n"
        "repositories, which do not list this relay, are refused.\n");
  }
  PrintHowTo(options);
  std::fflush(stdout);
  return Watch(*graspd, signals);
}

absl::StatusOr<Options> ParseArguments(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "--graspd") {
      options.binary = value;
    } else if (name == "--data") {
      options.data = value;
    } else if (name == "--events") {
      options.events = value;
    } else if (name == "--remotes") {
      options.remotes = value;
    } else {
      return absl::InvalidArgumentError(
          "usage: graspd-demo [--remotes=wss://...,...] [--graspd=BINARY] [--data=DIR] "
          "[--events=JSONL]");
    }
  }
  return options;
}

int Main(int argc, char** argv) {
  const auto options = ParseArguments(argc, argv);
  if (!options.ok()) {
    fmt::print(stderr, "{}\n", std::string(options.status().message()));
    return 2;
  }
  base::ConfigureLog(base::LogLevel::kError, base::LogFormat::kText);
  const sigset_t signals = BlockSignals();
  const absl::Status run = Run(*options, signals);
  if (!run.ok()) {
    fmt::print(stderr, "graspd-demo: {}\n", std::string(run.message()));
    return 1;
  }
  fmt::print("\nStopped.\n");
  return 0;
}

}  // namespace
}  // namespace graspd::demo

int main(int argc, char** argv) { return graspd::demo::Main(argc, argv); }
