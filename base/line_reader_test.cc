#include "base/line_reader.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdio>
#include <fstream>
#include <vector>

#include "base/random.h"

namespace graspd::base {
namespace {

/// A file that exists as long as this object.
class TempFile {
 public:
  TempFile() : path_(::testing::TempDir() + "line_reader_" + SystemRandom::HexToken(8)) {}
  ~TempFile() { std::remove(path_.c_str()); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  void Write(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }
  void WriteGzip(const std::string& text) {
    gzFile file = gzopen(path_.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
              static_cast<int>(text.size()));
    ASSERT_EQ(gzclose(file), Z_OK);
  }
  std::string Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

using Lines = std::vector<std::string>;

std::pair<Lines, absl::Status> ReadAll(const TempFile& file) {
  auto reader = LineReader::Open(file.path());
  if (!reader.ok()) return {{}, reader.status()};
  Lines lines;
  while (const auto line = reader->Next()) lines.emplace_back(*line);
  EXPECT_EQ(reader->Next(), std::nullopt) << "the end stays the end";
  return {lines, reader->status()};
}

Lines RandomLines(size_t count) {
  SeededRandom random(5);
  Lines lines(count);
  for (auto& line : lines) {
    line.resize(random.Below(200));
    for (char& c : line) c = static_cast<char>('a' + random.Below(26));
  }
  return lines;
}

std::string Join(const Lines& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

TEST(LineReaderTest, ReadsPlainLinesEmptyOnesIncluded) {
  TempFile file;
  file.Write("one\n\nthree\r\n");
  const auto [lines, status] = ReadAll(file);
  EXPECT_EQ(lines, (Lines{"one", "", "three\r"}));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(LineReaderTest, LastLineNeedsNoNewline) {
  TempFile file;
  file.Write("one\ntwo");
  EXPECT_EQ(ReadAll(file).first, (Lines{"one", "two"}));
  file.Write("one\n");
  EXPECT_EQ(ReadAll(file).first, (Lines{"one"}));
}

TEST(LineReaderTest, EmptyFileHasNoLines) {
  TempFile file;
  file.Write("");
  const auto [lines, status] = ReadAll(file);
  EXPECT_TRUE(lines.empty());
  EXPECT_TRUE(status.ok()) << status;
}

TEST(LineReaderTest, LinesMayBeLongerThanAnyBufferAndEndAnywhere) {
  TempFile file;
  for (const size_t size : {65'535, 65'536, 65'537, 1'000'000}) {
    const std::string line(size, 'x');
    file.Write(line + "\nafter\n" + line);
    EXPECT_EQ(ReadAll(file).first, (Lines{line, "after", line})) << size;
  }
}

TEST(LineReaderTest, ReadsGzip) {
  TempFile file;
  const Lines expected = RandomLines(5000);
  file.WriteGzip(Join(expected));
  const auto [lines, status] = ReadAll(file);
  EXPECT_EQ(lines, expected);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(LineReaderTest, TruncatedGzipGivesWholeLinesOnlyAndThenAnError) {
  TempFile file;
  const Lines expected = RandomLines(5000);
  file.WriteGzip(Join(expected));
  const std::string bytes = file.Bytes();
  for (const size_t kept : {size_t{5}, bytes.size() / 2, bytes.size() - 9, bytes.size() - 1}) {
    file.Write(bytes.substr(0, kept));
    const auto [lines, status] = ReadAll(file);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << kept << " bytes: " << status;
    ASSERT_LE(lines.size(), expected.size());
    for (size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i], expected[i]) << kept << " bytes";
  }
}

TEST(LineReaderTest, DamagedGzipIsDataLoss) {
  TempFile file;
  file.WriteGzip(Join(RandomLines(5000)));
  std::string bytes = file.Bytes();
  bytes[bytes.size() / 2] ^= 0x55;
  file.Write(bytes);
  EXPECT_EQ(ReadAll(file).second.code(), absl::StatusCode::kDataLoss);
}

TEST(LineReaderTest, MissingFileIsNotFound) {
  const TempFile file;
  EXPECT_EQ(LineReader::Open(file.path()).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace graspd::base
