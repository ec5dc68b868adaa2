#include "tests/e2e/support.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>

#include "base/clock.h"
#include "net/socket_address.h"
#include "net/test_support.h"
#include "tests/required.h"

namespace graspd::e2e {
namespace {

namespace fs = std::filesystem;

constexpr int kPollMillis = 20;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// graspd refuses GRASPD_ variables that it does not know and obeys those that it does, so none of
// those of whoever runs the tests may reach it.
struct Requirements {
  bool interop = false, netns = false, cgroup = false, ext4 = false;
};

Requirements TakeOurVariables() {
  using tests::IsRequired;
  const Requirements required{
      IsRequired("GRASPD_REQUIRE_INTEROP"), IsRequired("GRASPD_REQUIRE_NETNS"),
      IsRequired("GRASPD_REQUIRE_CGROUP"), IsRequired("GRASPD_REQUIRE_EXT4")};
  std::vector<std::string> ours;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (text.starts_with("GRASPD_")) ours.emplace_back(text.substr(0, text.find('=')));
  }
  for (const std::string& name : ours) unsetenv(name.c_str());
  return required;
}

const Requirements& Required() {
  static const Requirements required = TakeOurVariables();
  return required;
}

}  // namespace

bool InteropIsRequired() { return Required().interop; }
bool NetworkNamespacesAreRequired() { return Required().netns; }
bool CgroupIsRequired() { return Required().cgroup; }
bool Ext4IsRequired() { return Required().ext4; }

bool Eventually(const std::function<bool()>& condition) {
  const auto& clock = base::SystemClock::Instance();
  const auto deadline = clock.Now() + kPatience;
  while (!condition()) {
    if (clock.Now() >= deadline) return false;
    poll(nullptr, 0, kPollMillis);
  }
  return true;
}

TempDir::TempDir() {
  std::string pattern = fs::temp_directory_path() / "graspd-e2e-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  if (testing::Test::HasFailure()) {
    std::cerr << "logs are kept in " << path_ << "\n";
    return;
  }
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::unique_ptr<demo::ChildProcess> Spawn(const std::vector<std::string>& arguments,
                                          const std::string& log) {
  (void)InteropIsRequired();
  return Value(demo::ChildProcess::Spawn(arguments, log));
}

Outcome RunToEnd(const std::vector<std::string>& arguments) {
  const TempDir dir;
  const std::string log = dir / "stderr";
  const auto child = Spawn(arguments, log);
  Outcome outcome;
  outcome.out = Value(child->ReadToEnd(kPatience));
  outcome.exit_code = Value(child->Wait(kPatience));
  outcome.err = ReadFile(log);
  return outcome;
}

Outcome RunGraspd(std::vector<std::string> flags) {
  flags.insert(flags.begin(), GRASPD);
  return RunToEnd(flags);
}

Graspd::Graspd(const TempDir& dir, const std::string& name, const std::vector<std::string>& flags,
               const std::vector<std::string>& launcher) {
  (void)InteropIsRequired();
  std::vector<std::string> arguments = launcher;
  arguments.emplace_back(GRASPD);
  // A list given twice is joined, so a port is only ours to choose if nobody else has.
  for (const std::string flag : {"--relay-listen=", "--admin-listen=", "--ops-listen="}) {
    const bool given = std::any_of(flags.begin(), flags.end(), [&](const std::string& other) {
      return other.starts_with(flag);
    });
    if (!given) arguments.push_back(flag + "127.0.0.1:0");
  }
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  process_ =
      Value(demo::ChildProcess::Start(arguments, dir / (name + ".log"), "graspd ready", kPatience));
}

std::string Graspd::Address(const std::string& key) const {
  const std::string line = process_->ready_line() + " ";
  const size_t found = line.find(" " + key);
  if (found == std::string::npos) throw std::runtime_error("no " + key + " in: " + line);
  const size_t begin = found + 1 + key.size();
  return line.substr(begin, line.find(' ', begin) - begin);
}

int Graspd::Stop() {
  process_->Signal(SIGTERM);
  return Value(process_->Wait(kPatience));
}

void Graspd::Kill() {
  process_->Signal(SIGKILL);
  (void)Value(process_->Wait(kPatience));
}

HttpAnswer HttpGet(const std::string& address, const std::string& path,
                   const std::string& headers) {
  net::RawClient client(Value(net::SocketAddress::Parse(address)));
  client.Send("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n" +
              headers + "\r\n");
  const std::string text = client.ReadToEnd();
  HttpAnswer answer;
  const size_t end = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.1 ") || end == std::string::npos) {
    throw std::runtime_error("not an HTTP answer: " + text);
  }
  answer.status = std::stoi(text.substr(9, 3));
  answer.head = text.substr(0, end);
  answer.body = text.substr(end + 4);
  return answer;
}

double Metric(const std::string& ops, const std::string& series) {
  const std::string metrics = "\n" + HttpGet(ops, "/metrics").body;
  const size_t found = metrics.find("\n" + series + " ");
  if (found == std::string::npos) throw std::runtime_error("no metric " + series);
  return std::atof(metrics.c_str() + found + series.size() + 2);
}

}  // namespace graspd::e2e
