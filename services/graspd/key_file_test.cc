#include "services/graspd/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"

namespace graspd::daemon {
namespace {

using ::testing::HasSubstr;

constexpr char kHex[] = "67dea2ed018072d675f5415ecfaed7d2597555e202d85b3d65ea4e58d2d92ffa";

class KeyFileTest : public ::testing::Test {
 protected:
  KeyFileTest() { std::filesystem::create_directory(directory_); }
  ~KeyFileTest() override { std::filesystem::remove_all(directory_); }
  void Write(const std::string& text) const { std::ofstream(path_) << text; }

  const std::string directory_ =
      std::filesystem::temp_directory_path() / ("key-" + base::SystemRandom::HexToken(8));
  const std::string path_ = directory_ + "/sync.key";
};

TEST_F(KeyFileTest, AMissingFileIsMadeForTheOwnerAloneAndReadFromThenOn) {
  const auto made = ReadOrMakeKey(path_);
  ASSERT_TRUE(made.ok()) << made.status();
  struct stat about {};
  ASSERT_EQ(::stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  const auto again = ReadOrMakeKey(path_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key(), made->public_key());
  EXPECT_NE(ReadOrMakeKey(path_ + "2")->public_key(), made->public_key());
}

TEST_F(KeyFileTest, HexAndNsecAreReadWhateverSpaceIsAround) {
  const auto expected = nostr::SecretKey::FromHex(kHex)->public_key();
  for (const std::string& text :
       {std::string(kHex), " " + std::string(kHex) + "\n\n",
        std::string("nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5\n")}) {
    Write(text);
    const auto key = ReadOrMakeKey(path_);
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(key->public_key(), expected);
  }
}

TEST_F(KeyFileTest, AnythingElseIsRefusedAndNeverRepeated) {
  for (const std::string& text : {std::string(), std::string("secret"), std::string(64, '0'),
                                  std::string(kHex) + " secret", std::string(2000, 'a')}) {
    Write(text);
    const auto key = ReadOrMakeKey(path_);
    EXPECT_TRUE(absl::IsInvalidArgument(key.status())) << key.status();
    EXPECT_THAT(std::string(key.status().message()), HasSubstr(path_));
    EXPECT_THAT(std::string(key.status().message()), ::testing::Not(HasSubstr(kHex)));
  }
}

TEST_F(KeyFileTest, WhereNoFileCanBeMadeTheErrorNamesIt) {
  const auto key = ReadOrMakeKey(directory_ + "/missing/sync.key");
  EXPECT_TRUE(absl::IsUnavailable(key.status()));
  EXPECT_THAT(std::string(key.status().message()), HasSubstr("missing/sync.key"));
}

}  // namespace
}  // namespace graspd::daemon
