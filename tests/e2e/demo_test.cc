// graspd-demo as `make run` starts it.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>

#include "tests/e2e/support.h"
#include "tools/demo/repository.h"

namespace graspd::e2e {
namespace {

constexpr char kUpstream[] = "ws://127.0.0.1:7344";
// Announcements among the real events that do not list us: never stored, so judged by each process
// anew.
constexpr uint64_t kForeignAnnouncements = 4;

bool IsFree(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return free;
}

// A row of the table.
struct Row {
  std::string url, state, method;
  uint64_t needed = 0, fetched = 0, stored = 0, rejected = 0;
};

// The upstream's row once it is live with so many events stored.
Row AwaitLiveRow(demo::ChildProcess& demo, uint64_t stored) {
  for (;;) {
    std::istringstream line(Value(demo.AwaitLine(std::string("  ") + kUpstream, kPatience)));
    Row row;
    line >> row.url >> row.state >> row.method >> row.needed >> row.fetched >> row.stored >>
        row.rejected;
    if (line && row.state == "live" && row.stored == stored) return row;
  }
}

class DemoTest : public testing::Test {
 protected:
  std::unique_ptr<demo::ChildProcess> Start(const std::string& log) {
    return Spawn({GRASPD_DEMO, std::string("--graspd=") + GRASPD, "--data=" + dir_ / "data",
                  std::string("--events=") + TEST_DATA + "/real-events.jsonl.gz"},
                 dir_ / log);
  }
  // As Ctrl-C does.
  static int Interrupt(demo::ChildProcess& demo) {
    demo.Signal(SIGINT);
    return Value(demo.Wait(kPatience));
  }
  const TempDir dir_;
};

TEST_F(DemoTest, SyncsItsUpstreamAndFetchesNothingTwiceWhenItIsStartedAgain) {
  for (const uint16_t port : {7334, 7335, 7336, 7344}) {
    if (IsFree(port)) continue;
    if (InteropIsRequired()) FAIL() << "port " << port << ", which the demo needs, is taken";
    GTEST_SKIP() << "port " << port << ", which the demo needs, is taken";
  }
  const uint64_t generated = demo::GenerateRepository({}, {}).events.size();
  auto demo = Start("first.log");
  EXPECT_EQ(AwaitLiveRow(*demo, generated).method, "negentropy");
  EXPECT_EQ(Interrupt(*demo), 0);

  demo = Start("second.log");
  EXPECT_EQ(AwaitLiveRow(*demo, 0).fetched, kForeignAnnouncements);
  EXPECT_EQ(Interrupt(*demo), 0);
}

}  // namespace
}  // namespace graspd::e2e
