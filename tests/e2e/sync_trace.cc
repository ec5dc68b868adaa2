#include "tests/e2e/sync_trace.h"

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/hex.h"

namespace graspd::e2e {
namespace {

/// One system call, as begun or as returned; strace tells both apart when calls of threads overlap.
struct Line {
  std::string thread, name;
  std::string arguments;  // of a call as begun
  bool begun = false, returned = false;
  int64_t result = -1;  // of a call that has returned
};

std::optional<Line> ParseLine(const std::string& text) {
  Line line;
  const size_t name = text.find_first_not_of(' ', text.find(' '));
  if (name == std::string::npos) return std::nullopt;
  line.thread = text.substr(0, text.find(' '));
  constexpr std::string_view kResumed = "<... ", kUnfinished = "<unfinished ...>";
  const bool resumed = text.compare(name, kResumed.size(), kResumed) == 0;
  const size_t start = resumed ? name + kResumed.size() : name;
  const size_t end = text.find_first_of(" (", start);
  if (end == std::string::npos) return std::nullopt;
  line.name = text.substr(start, end - start);
  line.begun = !resumed;
  line.returned = !text.ends_with(kUnfinished);
  if (line.begun) line.arguments = text.substr(end);
  const size_t result = text.rfind(" = ");
  if (line.returned && result == std::string::npos) return std::nullopt;  // a signal, an exit
  if (line.returned) line.result = std::strtoll(text.c_str() + result + 3, nullptr, 10);
  return line;
}

// Every string of the arguments, which strace wrote as \x..\x..
std::vector<std::string> Strings(const std::string& arguments) {
  std::vector<std::string> strings;
  for (size_t at = 0; (at = arguments.find('"', at)) != std::string::npos;) {
    const size_t end = arguments.find('"', at + 1);
    if (end == std::string::npos) throw std::runtime_error("a string without an end in the trace");
    std::string hex;
    for (size_t i = at + 1; i + 3 < end + 1 && arguments.compare(i, 2, "\\x") == 0; i += 4) {
      hex += arguments.substr(i + 2, 2);
    }
    std::vector<uint8_t> bytes(hex.size() / 2);
    if (!base::HexDecode(hex, bytes)) {
      throw std::runtime_error("a string that is no hex in the trace");
    }
    strings.emplace_back(bytes.begin(), bytes.end());
    at = end + 1;
  }
  return strings;
}

/// How far each event has come.
class Follower {
 public:
  explicit Follower(const std::vector<nostr::Event>& events) {
    for (const auto& event : events) {
      stages_[std::string(event.id.view())] = Stage::kUnwritten;
      by_ok_[R"(["OK",")" + event.id.ToHex() + R"(",true)"] = std::string(event.id.view());
    }
  }

  void Follow(const Line& line) {
    if (line.begun) arguments_[line.thread] = line.arguments;
    const std::string& arguments = arguments_[line.thread];
    if (line.begun && IsSend(line.name)) Sent(arguments);
    const bool sync = IsSync(line.name) && Descriptor(arguments) == data_;
    if (line.begun && sync) BeginSync(line.thread);
    if (!line.returned || line.result < 0) return;
    if (line.name == "openat") Opened(arguments, line.result);
    if (IsWrite(line.name) && Descriptor(arguments) == data_) DataWritten(arguments);
    if (IsWrite(line.name) && Descriptor(arguments) == meta_) MetaWritten();
    if (sync) Synced(line.thread);
  }
  [[nodiscard]] SyncTraceFindings findings() && { return std::move(findings_); }

 private:
  enum class Stage { kUnwritten, kWritten, kSynced, kDurable };

  static bool IsSend(const std::string& name) {
    return name == "sendto" || name == "sendmsg" || name == "write" || name == "writev";
  }
  static bool IsWrite(const std::string& name) {
    return name == "pwrite64" || name == "pwritev" || name == "write" || name == "writev";
  }
  static bool IsSync(const std::string& name) { return name == "fdatasync" || name == "fsync"; }
  // The first argument: "(5, ..." or "(5)".
  static int64_t Descriptor(const std::string& arguments) {
    return std::strtoll(arguments.c_str() + 1, nullptr, 10);
  }

  // LMDB opens its file twice: for data, and with O_DSYNC for the meta pages.
  void Opened(const std::string& arguments, int64_t descriptor) {
    const auto strings = Strings(arguments);
    if (strings.empty() || !strings.front().ends_with("/data.mdb")) return;
    const bool meta = arguments.find("O_DSYNC") != std::string::npos;
    (meta ? meta_ : data_) = descriptor;
  }

  // Written before the sync began: what is written during it may be left out by it.
  void BeginSync(const std::string& thread) {
    auto& covered = syncs_[thread];
    covered.clear();
    for (const auto& [id, stage] : stages_) {
      if (stage == Stage::kWritten) covered.insert(id);
    }
  }
  void Synced(const std::string& thread) {
    for (const std::string& id : syncs_[thread]) {
      if (stages_[id] == Stage::kWritten) stages_[id] = Stage::kSynced;
    }
  }
  void MetaWritten() {
    for (auto& [id, stage] : stages_) {
      if (stage == Stage::kSynced) stage = Stage::kDurable;
    }
  }
  void DataWritten(const std::string& arguments) {
    for (const std::string& bytes : Strings(arguments)) {
      for (auto& [id, stage] : stages_) {
        if (stage == Stage::kUnwritten && bytes.find(id) != std::string::npos) {
          stage = Stage::kWritten;
        }
      }
    }
  }
  void Sent(const std::string& arguments) {
    std::string sent;
    for (const std::string& bytes : Strings(arguments)) sent += bytes;
    for (const auto& [ok, id] : by_ok_) {
      if (sent.find(ok) == std::string::npos) continue;
      ++findings_.ok_messages;
      if (stages_[id] == Stage::kDurable) continue;
      constexpr const char* kNames[] = {"unwritten", "unsynced", "without its meta page"};
      findings_.violations.push_back("OK for an event that is " +
                                     std::string(kNames[static_cast<size_t>(stages_[id])]));
    }
  }

  std::map<std::string, Stage> stages_;                 // by id
  std::map<std::string, std::string> by_ok_;            // beginning of the OK message -> id
  std::map<std::string, std::string> arguments_;        // by thread, of its latest call
  std::map<std::string, std::set<std::string>> syncs_;  // by thread: what its sync covers
  int64_t data_ = -1, meta_ = -1;                       // descriptors; -1 = not open yet
  SyncTraceFindings findings_;
};

}  // namespace

std::vector<std::string> SyncTraceOptions() {
  return {"-D",  // graspd stays our own child
          "-f",  // all threads
          "-xx",
          "-s",
          "4194304",
          "-e",
          "signal=none",
          "-e",
          "trace=openat,fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"};
}

SyncTraceFindings CheckSyncTrace(const std::string& path, const std::vector<nostr::Event>& events) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("no trace in " + path);
  Follower follower(events);
  for (std::string text; std::getline(file, text);) {
    if (const auto line = ParseLine(text)) follower.Follow(*line);
  }
  return std::move(follower).findings();
}

}  // namespace graspd::e2e
