#include "services/admin/listening.h"

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
