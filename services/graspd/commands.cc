#include "services/graspd/commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/cpu_pool.h"
#include "base/line_writer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "ingest/pipeline.h"
#include "ingest/policy/policy.h"
#include "net/address_guard.h"
#include "net/dialer.h"
#include "net/io_pool.h"
#include "net/resolver.h"
#include "services/graspd/assembly.h"
#include "services/transfer/exporter.h"
#include "services/transfer/importer.h"
#include "services/transfer/pipeline_target.h"
#include "services/transfer/relay_target.h"
#include "storage/commit_feed.h"

namespace graspd::daemon {
namespace {

using std::chrono::milliseconds;

constexpr auto kProgressInterval = std::chrono::seconds(1);
constexpr uint64_t kEventsPerSignalCheck = 1000;
constexpr char kClearLine[] = "\r\033[K";  // of a terminal

void Say(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

int Fail(std::string_view command, const absl::Status& status) {
  Say(fmt::format("{} failed: {}", command, std::string(status.message())));
  return 1;
}

void ConfigureLog(const Settings& settings) {
  // What goes well is the summary's business.
  base::ConfigureLog(std::max(settings.log_level, base::LogLevel::kWarn),
                     settings.log_format.value_or(base::LogFormat::kText));
}

/// What a transfer tells on stderr: on a terminal how far it is, everywhere how it ended.
/// Thread-safe.
class TransferReport {
 public:
  explicit TransferReport(std::string_view command) : command_(command) {}

  /// May be called as often as one likes.
  void Progress(uint64_t events, const std::string& done) {
    const base::MutexLock lock(mutex_);
    const auto now = base::SystemClock::Instance().Now();
    if (!terminal_ || now - shown_ < kProgressInterval / 2) return;
    shown_ = now;
    std::fprintf(stderr, "%s%s", kClearLine, Line(events, done).c_str());
    std::fflush(stderr);
  }
  void Refused(const std::string& place, const std::string& id, const std::string& reason) {
    const base::MutexLock lock(mutex_);
    Say(fmt::format("{}{}: {}: {}", Clear(), place, id, reason));
  }
  void Summary(uint64_t events, const std::string& done) {
    const base::MutexLock lock(mutex_);
    Say(fmt::format("{}{}: {}", Clear(), command_, Line(events, done)));
  }

 private:
  [[nodiscard]] const char* Clear() const { return terminal_ ? kClearLine : ""; }
  [[nodiscard]] std::string Line(uint64_t events, const std::string& done) const {
    const std::chrono::duration<double> passed = base::SystemClock::Instance().Now() - started_;
    return fmt::format("{} in {:.1f} s ({:.0f}/s)", done, passed.count(),
                       static_cast<double>(events) / std::max(passed.count(), 0.001));
  }

  const std::string command_;
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  const base::SteadyTime started_ = base::SystemClock::Instance().Now();
  base::Mutex mutex_;
  base::SteadyTime shown_ ABSL_GUARDED_BY(mutex_) = started_;
};

std::string Done(uint64_t exported) { return fmt::format("{} events", exported); }
std::string Done(const transfer::Importer::Counts& counts) {
  return fmt::format("{} read, {} stored, {} known or older, {} refused", counts.read,
                     counts.stored, counts.known, counts.refused);
}

/// The thread of an import, and how main's waits for its end.
class ImportRun {
 public:
  ImportRun(const ImportRequest& request, Signals& signals)
      : request_(request), signals_(signals) {}

  /// Returns when everything is read and answered, or what was begun when a signal came. `target`
  /// lives until after Stop().
  absl::Status Run(transfer::Target& target) {
    transfer::Importer::Options options;
    options.files = request_.files;
    options.on_refused = [this](const auto& place, const auto& id, const auto& reason) {
      report_.Refused(place, id, reason);
    };
    options.on_done = [this](const absl::Status& status) {
      {
        base::MutexLock lock(mutex_);
        end_ = status;
      }
      signals_.Wake();
    };
    importer_.emplace(std::move(options), target, thread());
    importer_->Start();
    std::optional<absl::Status> end;
    while (!(end = End())) {
      if (signals_.Wait(kProgressInterval).value_or(0) != 0) {
        signals_.Release();  // a second one ends us at once
        thread().Post([this] { importer_->Stop(); });
      }
      const auto counts = importer_->counts();
      report_.Progress(counts.read, Done(counts));
    }
    return *end;
  }

  /// Ends the thread: nothing calls the target any more.
  void Stop() { io_.Stop(); }

  [[nodiscard]] net::IoThread& thread() { return io_.thread(0); }
  [[nodiscard]] Signals& signals() { return signals_; }

  int Conclude(const absl::Status& status) {
    const auto counts = importer_ ? importer_->counts() : transfer::Importer::Counts();
    if (importer_) report_.Summary(counts.read, Done(counts));
    if (!status.ok()) return Fail("import", status);
    return request_.strict && counts.refused > 0 ? 1 : 0;
  }

 private:
  std::optional<absl::Status> End() {
    base::MutexLock lock(mutex_);
    return end_;
  }

  const ImportRequest& request_;
  Signals& signals_;
  TransferReport report_{"import"};
  base::Mutex mutex_;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  std::optional<transfer::Importer> importer_;
  net::IoPool io_{1, "import"};  // last: its thread uses the others
};

absl::Status ImportIntoStore(const Settings& settings, ImportRun& run) {
  if (IsTransient(settings)) {
    return absl::InvalidArgumentError("what is put into a store in memory is gone at once");
  }
  auto store =
      OpenStore(settings, StoreAccess::kReadWrite, [&] { return run.signals().Pending(); });
  if (absl::IsFailedPrecondition(store.status())) {
    return absl::FailedPreconditionError(
        fmt::format("{}; import into a graspd that runs with --url and the URL of its relay port",
                    std::string(store.status().message())));
  }
  GRASPD_RETURN_IF_ERROR(store.status());

  base::Metrics metrics;
  storage::CommitFeed feed;
  base::CpuPool cpu(std::max(1u, std::thread::hardware_concurrency()));
  GRASPD_ASSIGN_OR_RETURN(const auto lists, LoadPolicyLists(settings, **store));
  ingest::Policy policy(PolicyOptionsOf(settings, *lists, metrics));
  ingest::Pipeline pipeline({**store, feed, policy, cpu, base::SystemClock::Instance(), metrics},
                            settings.limits);
  transfer::PipelineTarget target(pipeline, run.thread());
  const absl::Status status = run.Run(target);
  pipeline.Drain();
  cpu.Stop();
  run.Stop();
  const absl::Status health = (*store)->Health();
  if (!absl::IsUnavailable(status) || health.ok()) return status;
  return absl::Status(health.code(),
                      fmt::format("{} (the store says: {}); everything before is "
                                  "stored, so import again when that is mended",
                                  std::string(status.message()), std::string(health.message())));
}

absl::Status ImportThroughRelay(const nostr::RelayUrl& url, ImportRun& run) {
  // The operator names the relay, so any address will do.
  const net::AddressGuard guard(
      {.allow = {*net::Cidr::Parse("0.0.0.0/0"), *net::Cidr::Parse("::/0")}});
  net::SystemResolver resolver;
  const auto dialer = net::MakeDialer(guard, resolver, {});
  transfer::RelayTarget target(url, *dialer, run.thread());
  const absl::Status status = run.Run(target);
  run.thread().Post([&] { target.Close([&run] { run.signals().Wake(); }); });
  run.signals().Wait(milliseconds(2000));
  run.Stop();
  return status;
}

}  // namespace

int RunExport(const Invocation& invocation, Signals& signals) {
  ConfigureLog(invocation.settings);
  if (IsTransient(invocation.settings)) {
    return Fail("export", absl::InvalidArgumentError("a store in memory is its daemon's alone"));
  }
  const auto store = OpenStore(invocation.settings, StoreAccess::kReadOnly);
  if (!store.ok()) return Fail("export", store.status());
  auto writer = base::LineWriter::Open(invocation.export_request.output);
  if (!writer.ok()) return Fail("export", writer.status());

  uint64_t events = 0;
  TransferReport report("export");
  transfer::Exporter exporter(**store, invocation.export_request.filter,
                              base::SystemClock::Instance().UnixNow(),
                              [&](std::string_view json) -> absl::Status {
                                if (++events % kEventsPerSignalCheck == 0) {
                                  if (signals.Wait(milliseconds(0)))
                                    return absl::CancelledError("interrupted");
                                  report.Progress(events, Done(events));
                                }
                                return writer->Write(json);
                              });
  absl::Status status = exporter.Run();
  if (status.ok()) status = writer->Finish();
  if (!status.ok()) return Fail("export", status);
  report.Summary(exporter.events(), Done(exporter.events()));
  return 0;
}

int RunImport(const Invocation& invocation, Signals& signals) {
  ConfigureLog(invocation.settings);
  const ImportRequest& request = invocation.import_request;
  ImportRun run(request, signals);
  return run.Conclude(request.url ? ImportThroughRelay(*request.url, run)
                                  : ImportIntoStore(invocation.settings, run));
}

}  // namespace graspd::daemon
