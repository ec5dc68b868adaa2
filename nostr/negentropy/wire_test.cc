#include "nostr/negentropy/wire.h"

#include <gtest/gtest.h>

#include "nostr/negentropy/test_session.h"

namespace graspd::negentropy {
namespace {

Bound AtTime(uint64_t created_at) { return {{created_at, {}}, 0}; }

std::string Varint(uint64_t value) {
  std::string out;
  AppendVarint(out, value);
  return out;
}

TEST(WireTest, VarintsHaveTheMostSignificantDigitFirstAndNoMoreThanNeeded) {
  EXPECT_EQ(Varint(0), std::string(1, '\0'));
  EXPECT_EQ(Varint(127), "\x7f");
  EXPECT_EQ(Varint(128), std::string("\x81\x00", 2));
  EXPECT_EQ(Varint(kInfinity), "\x81\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
}

TEST(WireTest, BoundBetweenItemsIsTheShortestThatTellsThemApart) {
  Item a{5, {}}, b{6, {}}, c{6, {}};
  b.id.bytes.fill(0x22);
  c.id.bytes.fill(0x22);
  c.id.bytes[3] = 0x23;
  EXPECT_EQ(Bound::Between(a, b).prefix, 0U);
  const Bound bound = Bound::Between(b, c);
  EXPECT_EQ(bound.prefix, 4U);
  EXPECT_LT(b, bound.item);
  EXPECT_LE(bound.item, c);
  c = b;
  c.id.bytes[31] = 0x23;
  EXPECT_EQ(Bound::Between(b, c).item, c);
}

TEST(WireTest, ReaderGivesBackWhatTheWriterWrote) {
  const SealedSet set({MakeItem(1, 1), MakeItem(2, 2), MakeItem(2, 3)});
  RangeWriter writer;
  writer.AddFingerprint(AtTime(1), set.FingerprintOf(0, 1));
  writer.Skip(AtTime(2));
  writer.Skip(Bound::At(set.At(1)));
  writer.AddIdList(Bound::Infinity(), set, 1, 3);
  writer.Skip(Bound::Infinity());
  const std::string message = std::move(writer).Take();

  ASSERT_EQ(message[0], '\x61');
  RangeReader reader(std::string_view(message).substr(1));
  const auto first = reader.Next();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->mode, Mode::kFingerprint);
  EXPECT_EQ(first->upper.item, AtTime(1).item);
  EXPECT_EQ(first->fingerprint, set.FingerprintOf(0, 1));
  const auto skip = reader.Next();
  ASSERT_TRUE(skip.ok()) << skip.status();
  EXPECT_EQ(skip->mode, Mode::kSkip) << "two Skips in a row become one";
  EXPECT_EQ(skip->upper.item, set.At(1));
  const auto list = reader.Next();
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->upper.item.created_at, kInfinity);
  EXPECT_EQ(list->ids, std::string(set.At(1).id.view()) + std::string(set.At(2).id.view()));
  EXPECT_TRUE(reader.done()) << "a Skip at the end is implied";
}

TEST(WireTest, RollbackForgetsRangesAndRestoresThePendingSkip) {
  const SealedSet set({});
  RangeWriter writer, plain;
  writer.Skip(AtTime(7));
  const auto mark = writer.mark();
  writer.AddIdList(AtTime(9), set, 0, 0);
  writer.Rollback(mark);
  writer.AddIdList(AtTime(8), set, 0, 0);
  plain.Skip(AtTime(7));
  plain.AddIdList(AtTime(8), set, 0, 0);
  EXPECT_EQ(std::move(writer).Take(), std::move(plain).Take());
}

TEST(WireTest, DescendingBoundsAreRefused) {
  const std::string_view message("\x06\x01\x23\x00\x01\x01\x22\x00", 8);
  RangeReader reader(message);
  ASSERT_TRUE(reader.Next().ok());
  EXPECT_EQ(reader.Next().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(WireTest, OffsetsPastTheEndOfTimeMeanInfinity) {
  const std::string message =
      Varint(kInfinity) + std::string(2, '\0') + Varint(7) + std::string(2, '\0');
  RangeReader reader(message);
  EXPECT_EQ(reader.Next()->upper.item.created_at, kInfinity - 1);
  EXPECT_EQ(reader.Next()->upper.item.created_at, kInfinity);
}

TEST(WireTest, VarintsOfMoreThan64BitsAreRefused) {
  const std::string message = "\x82\x80\x80\x80\x80\x80\x80\x80\x80" + std::string(3, '\0');
  EXPECT_FALSE(RangeReader(message).Next().ok());
}

}  // namespace
}  // namespace graspd::negentropy
