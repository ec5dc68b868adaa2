#include "net/output_buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>

namespace graspd::net {
namespace {

void Append(OutputBuffer& buffer, std::string_view bytes) {
  std::memcpy(buffer.Prepare(bytes.size()), bytes.data(), bytes.size());
  buffer.Commit(bytes.size());
}

// All of it: there must be little.
std::string Content(const OutputBuffer& buffer) {
  EXPECT_EQ(buffer.front().size(), buffer.size());
  return std::string(buffer.front());
}

TEST(OutputBufferTest, KeepsBytesInOrderWhileItGrowsAndIsConsumed) {
  ChunkPool pool;
  OutputBuffer buffer(pool);
  std::string expected;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece(static_cast<size_t>(i % 97), static_cast<char>('a' + i % 26));
    Append(buffer, piece);
    expected += piece;
    if (i % 3 == 0) {
      const size_t taken = expected.size() / 2;
      buffer.Consume(taken);
      expected.erase(0, taken);
    }
    ASSERT_EQ(Content(buffer), expected);
  }
  buffer.Release();
  EXPECT_EQ(buffer.size(), 0u);
  Append(buffer, "again");
  EXPECT_EQ(Content(buffer), "again");
}

TEST(OutputBufferTest, TakesPiecesLargerThanAChunk) {
  ChunkPool pool;
  OutputBuffer buffer(pool);
  const std::string large(3 * ChunkPool::kChunk, 'x');
  Append(buffer, "a");
  Append(buffer, large);
  EXPECT_EQ(Content(buffer), "a" + large);
}

TEST(OutputBufferTest, WhatWaitsIsNotCopiedWhenMuchComesBehindIt) {
  ChunkPool pool;
  OutputBuffer buffer(pool);
  std::string expected;
  const auto append = [&](size_t bytes) {
    const std::string piece(bytes, static_cast<char>('a' + bytes % 26));
    Append(buffer, piece);
    expected += piece;
  };
  while (buffer.size() < OutputBuffer::kPiece - 2000) append(1000 + buffer.size() % 997);
  const char* const first = buffer.front().data();
  for (int i = 0; i < 300; ++i) append(1000 + buffer.size() % 997);
  append(3 * OutputBuffer::kPiece);
  append(10);
  EXPECT_EQ(buffer.front().data(), first);
  EXPECT_EQ(buffer.size(), expected.size());

  std::string consumed;
  while (buffer.size() != 0) {
    const std::string_view some = buffer.front().substr(0, 50'000);
    ASSERT_FALSE(some.empty());
    consumed += some;
    buffer.Consume(some.size());
    if (consumed.size() < OutputBuffer::kPiece) append(7);
  }
  EXPECT_TRUE(consumed == expected);
}

TEST(OutputBufferTest, OneLargePieceIsNotMovedForALittleBehindIt) {
  ChunkPool pool;
  OutputBuffer buffer(pool);
  Append(buffer, std::string(300'000, 'x'));
  buffer.Consume(1000);
  const char* const front = buffer.front().data();
  Append(buffer, "more");
  EXPECT_EQ(buffer.front().data(), front);
  EXPECT_EQ(buffer.size(), 299'004u);
}

TEST(ChunkPoolTest, HandsOutReturnedChunksAgain) {
  ChunkPool pool;
  char* chunk = pool.Take();
  pool.Give(chunk);
  EXPECT_EQ(pool.Take(), chunk);
  pool.Give(chunk);
}

class FakeMember final : public FlushQueue::Member {
 public:
  explicit FakeMember(std::function<void()> on_flush) : on_flush_(std::move(on_flush)) {}
  void Flush() override { on_flush_(); }

 private:
  std::function<void()> on_flush_;
};

TEST(FlushQueueTest, FlushesInOrderAndAsksForOneRun) {
  FlushQueue queue;
  std::string order;
  FakeMember late([&] { order += "c"; });
  FakeMember a([&] { order += "a"; });
  FakeMember b([&] {
    order += "b";
    EXPECT_FALSE(queue.Add(late));  // joins the run under way
  });
  FakeMember dead([&] { order += "dead"; });
  EXPECT_TRUE(queue.Add(a));
  EXPECT_FALSE(queue.Add(dead));
  EXPECT_FALSE(queue.Add(b));
  queue.Remove(dead);
  queue.FlushAll();
  EXPECT_EQ(order, "abc");
  EXPECT_TRUE(queue.Add(a));
}

TEST(WriteFrameHeaderTest, UsesTheShortestLengthForm) {
  const auto header = [](size_t payload) {
    char out[kMaxFrameHeader];
    return std::string(out, WriteFrameHeader(kTextOpcode, payload, out));
  };
  EXPECT_EQ(header(0), std::string("\x81\x00", 2));
  EXPECT_EQ(header(125), "\x81\x7d");
  EXPECT_EQ(header(126), std::string("\x81\x7e\x00\x7e", 4));
  EXPECT_EQ(header(65535), "\x81\x7e\xff\xff");
  EXPECT_EQ(header(65536), std::string("\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10));
}

}  // namespace
}  // namespace graspd::net
