// graspd-demo as `make run` starts it.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/e2e/support.h"

namespace graspd::e2e {
namespace {

constexpr char kUpstream[] = "ws://127.0.0.1:7344";

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

// The columns of the upstream's row once it is live: url, state, method, needed, fetched, stored,
// rejected.
std::vector<std::string> AwaitLiveRow(demo::ChildProcess& demo, const std::string& stored) {
  for (;;) {
    std::istringstream line(Value(demo.AwaitLine(std::string("  ") + kUpstream, kPatience)));
    std::vector<std::string> columns;
    for (std::string word; line >> word;) columns.push_back(word);
    if (columns.size() == 7 && columns[1] == "live" && columns[5] == stored) return columns;
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

TEST_F(DemoTest, SyncsItsUpstreamOnceAndFetchesNothingWhenItIsStartedAgain) {
  for (const uint16_t port : {7334, 7335, 7336, 7344}) {
    if (!IsFree(port)) GTEST_SKIP() << "port " << port << ", which the demo needs, is taken";
  }
  auto demo = Start("first.log");
  EXPECT_EQ(AwaitLiveRow(*demo, "235"),
            (std::vector<std::string>{kUpstream, "live", "negentropy", "235", "235", "235", "0"}));
  EXPECT_EQ(Interrupt(*demo), 0);

  demo = Start("second.log");
  EXPECT_EQ(AwaitLiveRow(*demo, "0"),
            (std::vector<std::string>{kUpstream, "live", "negentropy", "0", "0", "0", "0"}));
  EXPECT_EQ(Interrupt(*demo), 0);
}

}  // namespace
}  // namespace graspd::e2e
