#include "base/line_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/line_reader.h"
#include "base/random.h"

namespace graspd::base {
namespace {

class LineWriterTest : public testing::Test {
 protected:
  ~LineWriterTest() override {
    for (const std::string& path : {path_, path_ + ".gz"}) std::remove(path.c_str());
  }
  static bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }
  static std::string Bytes(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::vector<std::string> Lines(const std::string& path) {
    auto reader = LineReader::Open(path);
    EXPECT_TRUE(reader.ok()) << reader.status();
    std::vector<std::string> lines;
    while (const auto line = reader->Next()) lines.emplace_back(*line);
    EXPECT_TRUE(reader->status().ok()) << reader->status();
    return lines;
  }
  const std::string path_ = testing::TempDir() + "line_writer_" + SystemRandom::HexToken(8);
};

TEST_F(LineWriterTest, LinesAreReadBackPlainAndCompressed) {
  const std::vector<std::string> lines = {"first", "", std::string(300'000, 'x'), "last"};
  for (const std::string& path : {path_, path_ + ".gz"}) {
    auto writer = LineWriter::Open(path);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const std::string& line : lines) ASSERT_TRUE(writer->Write(line).ok());
    ASSERT_TRUE(writer->Finish().ok());
    EXPECT_EQ(Lines(path), lines);
  }
  EXPECT_TRUE(Bytes(path_).starts_with("first\n\nxxx"));
  EXPECT_LT(Bytes(path_ + ".gz").size(), 10'000u);
}

TEST_F(LineWriterTest, AnEarlierFileStaysUntilTheNewOneIsComplete) {
  std::ofstream(path_) << "before";
  {
    auto writer = LineWriter::Open(path_);
    ASSERT_TRUE(writer.ok() && writer->Write("unfinished").ok());
    EXPECT_TRUE(Exists(path_ + ".partial"));
  }
  EXPECT_EQ(Bytes(path_), "before");
  EXPECT_FALSE(Exists(path_ + ".partial"));

  auto writer = LineWriter::Open(path_);
  ASSERT_TRUE(writer.ok() && writer->Write("after").ok() && writer->Finish().ok());
  EXPECT_EQ(Bytes(path_), "after\n");
  EXPECT_FALSE(Exists(path_ + ".partial"));
}

TEST_F(LineWriterTest, ADeviceIsWrittenToAndStaysADevice) {
  auto writer = LineWriter::Open("/dev/full");
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Write("line").ok()) << "still in the buffer";
  EXPECT_EQ(writer->Finish().code(), absl::StatusCode::kResourceExhausted);
  struct stat info {};
  ASSERT_EQ(stat("/dev/full", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
}

TEST_F(LineWriterTest, AFullDiskIsReportedWhileWriting) {
  auto writer = LineWriter::Open("/dev/full");
  ASSERT_TRUE(writer.ok()) << writer.status();
  absl::Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = writer->Write(std::string(100'000, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST_F(LineWriterTest, ADirectoryThatDoesNotExistIsNotFound) {
  EXPECT_EQ(LineWriter::Open(path_ + "/file").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace graspd::base
