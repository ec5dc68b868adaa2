#include "services/admin/listen_address.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace graspd::admin {
namespace {

namespace fs = std::filesystem;

TEST(ListenAddressTest, TakesLoopbackAndUnixSockets) {
  EXPECT_EQ(ListenAddress::Parse("127.0.0.1:7335")->ToString(), "127.0.0.1:7335");
  EXPECT_EQ(ListenAddress::Parse("[::1]:0")->ToString(), "[::1]:0");
  EXPECT_EQ(ListenAddress::Parse("localhost:1")->ToString(), "127.0.0.1:1");
  const auto unix_socket = ListenAddress::Parse("unix:/run/a.sock");
  ASSERT_TRUE(unix_socket.ok());
  EXPECT_TRUE(unix_socket->is_unix());
  EXPECT_EQ(unix_socket->ToString(), "unix:/run/a.sock");
}

TEST(ListenAddressTest, RefusesWhatOtherMachinesCanReachAndSaysWhy) {
  for (const char* text : {"0.0.0.0:7335", "[::]:7335", "10.0.0.1:7335", ":7335", "*:7335",
                           "relay.example:7335", "127.0.0.1.example:7335", "::1:7335"}) {
    const auto address = ListenAddress::Parse(text);
    EXPECT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(address.status().ToString().find("no authentication"), std::string::npos) << text;
  }
}

TEST(ListenAddressTest, RefusesMalformedAddresses) {
  for (const std::string& text :
       {std::string(""), std::string("127.0.0.1"), std::string("127.0.0.1:"),
        std::string("127.0.0.1:65536"), std::string("127.0.0.1:7x"), std::string("unix:"),
        "unix:/" + std::string(200, 'x')}) {
    EXPECT_EQ(ListenAddress::Parse(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

class StaleSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/graspd_admin_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    path_ = dir_ / "s";
  }
  void TearDown() override { fs::remove_all(dir_); }

  // A socket that listens at path_; the caller closes it.
  int Listen() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path_.c_str());
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd, 1), 0);
    return fd;
  }

  fs::path dir_, path_;
};

TEST_F(StaleSocketTest, LeftoverIsRemoved) {
  ::close(Listen());
  ASSERT_TRUE(fs::exists(path_));
  EXPECT_TRUE(RemoveStaleSocket(path_).ok());
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(RemoveStaleSocket(path_).ok());
}

TEST_F(StaleSocketTest, LiveSocketIsLeftAlone) {
  const int fd = Listen();
  EXPECT_EQ(RemoveStaleSocket(path_).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(fs::exists(path_));
  ::close(fd);
}

TEST_F(StaleSocketTest, FileThatIsNoSocketIsLeftAlone) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(RemoveStaleSocket(path_).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(fs::exists(path_));
}

}  // namespace
}  // namespace graspd::admin
