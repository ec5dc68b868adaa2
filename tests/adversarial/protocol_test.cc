// Clients that break RFC 6455, or keep to it with bad intent.
#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "nostr/limits.h"
#include "tests/adversarial/target.h"

namespace graspd::adversarial {
namespace {

using net::RawClient;
using namespace std::string_view_literals;

// Seconds: for a Close, and for an answer to what is too much.
constexpr double kPromptly = 1 * kSlower, kAtOnce = 0.05 * kSlower;

std::string Frame(uint8_t first, std::string_view payload) {
  return RawClient::ClientFrame(first, payload);
}
std::string ClosePayload(int code) {
  return {static_cast<char>(code >> 8), static_cast<char>(code)};
}

/// The code of the Close frame with which `bytes` are answered at once, skipping what comes before
/// it.
int CloseCodeFor(const Target& target, std::string_view bytes) {
  const auto client = WebSocketClient(target);
  const double begin = Now();
  client->Send(bytes);
  for (;;) {
    const RawClient::Frame frame = client->ReadFrame();
    if (frame.first == 0) return 0;
    if (frame.first != kClose) continue;
    EXPECT_LT(Now() - begin, kPromptly);
    client->SendFrame(kClose, "");  // where it is waited for
    EXPECT_TRUE(client->Ended()) << "something behind the Close";
    return frame.close_code();
  }
}

TEST(ProtocolTest, EveryViolationIsClosedWithItsCode) {
  const Target target;
  const std::string euro_begin = "\xe2\x82";
  const std::vector<std::pair<std::string, int>> violations = {
      {std::string("\x81\x01x"), 1002},  // no mask
      {Frame(0xc1, "x"), 1002},          // RSV1, as for a compressed message
      {Frame(0xa1, "x"), 1002},
      {Frame(0x91, "x"), 1002},
      {Frame(0xc9, ""), 1002},
      {Frame(0x83, "x"), 1002},
      {Frame(0x87, ""), 1002},
      {Frame(0x8b, ""), 1002},
      {Frame(0x8f, ""), 1002},
      {Frame(kPing, std::string(126, 'x')), 1002},
      {Frame(kClose, std::string(126, 'x')), 1002},
      {Frame(0x09, ""), 1002},  // a ping in fragments
      {Frame(0x08, ""), 1002},
      {Frame(0x80, "x"), 1002},  // continuation of nothing
      {Frame(0x00, "x"), 1002},
      {Frame(0x01, "x") + Frame(0x81, "y"), 1002},  // a message inside another
      {Frame(0x01, "x") + Frame(kBinary, "y"), 1002},
      {std::string("\x81\xfe\x00\x05....hello"sv), 1002},  // a length in a longer form than needed
      {std::string("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05....hello"sv), 1002},
      {std::string("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff...."sv), 1002},  // its top bit
      {std::string("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff...."sv), 1009},
      {Frame(kClose, "\x03"), 1002},
      {Frame(kClose, ClosePayload(0)), 1002},
      {Frame(kClose, ClosePayload(999)), 1002},
      {Frame(kClose, ClosePayload(1005)), 1002},
      {Frame(kClose, ClosePayload(1006)), 1002},
      {Frame(kClose, ClosePayload(1015)), 1002},
      {Frame(kClose, ClosePayload(5000)), 1002},
      {Frame(kClose, ClosePayload(1000) + "\xff"), 1007},
      {Frame(kText, "\xc0\x80"), 1007},
      {Frame(kText, "\xed\xa0\x80"), 1007},
      {Frame(0x01, euro_begin) + Frame(kPing, "") + Frame(0x80, "x"), 1007},
      {Frame(kBinary, "x"), 1003},
  };
  for (size_t i = 0; i < violations.size(); ++i) {
    EXPECT_EQ(CloseCodeFor(target, violations[i].first), violations[i].second) << "violation " << i;
  }
  EXPECT_EQ(CloseCodeFor(target, Frame(kClose, ClosePayload(1000))), 1000);
  target.ExpectHealthy();
}

// Threats C3. What is refused, and how, is doors_test.cc's; here, that it costs nobody time.
TEST(ProtocolTest, QueriesThatAreTooMuchAreAnsweredAtOnce) {
  const Target target({"--limits-message-bytes=8MiB", "--limits-neg-message-bytes=8MiB",
                       "--limits-outbound-bytes=16MiB"});
  const auto many = [](int count, const std::function<std::string(int)>& item) {
    std::string text;
    for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + item(i);
    return text;
  };
  const std::string ids = many(100'000, [](int i) {
    const std::string digits = std::to_string(100'000 + i);
    return '"' + std::string(64 - digits.size(), 'a') + digits + '"';
  });
  const std::string letters = many(26, [&](int letter) {
    return std::string("\"#") + static_cast<char>('a' + letter) + "\":[" +
           many(1000, [](int i) { return '"' + std::to_string(i) + '"'; }) + "]";
  });
  const std::vector<std::string> queries = {
      many(10'000, [](int) { return "{\"kinds\":[1]}"; }),
      "{\"ids\":[" + ids + "]}",
      "{" + letters + "}",
      "{\"limit\":-1}",
      "{\"limit\":1.5}",
  };
  const auto client = WebSocketClient(target);
  const auto cpu = [&] { return target.Metric("process_cpu_seconds_total"); };
  for (const std::string& query : queries) {
    constexpr int kTries = 10;
    const std::string frame = Frame(kText, "[\"REQ\",\"s\"," + query + "]");
    const double cpu_before = cpu();
    for (int i = 0; i < kTries; ++i) {
      const double begin = Now();
      client->Send(frame);
      EXPECT_THAT(client->ReadFrame().payload,
                  testing::StartsWith("[\"CLOSED\",\"s\",\"invalid: "));
      EXPECT_LT(Now() - begin, kPromptly);
    }
    // Of its own time, from which others on this machine take nothing.
    EXPECT_LT((cpu() - cpu_before) / kTries, kAtOnce) << query.substr(0, 50);
  }
  std::string reqs;
  for (int i = 0; i < 10'000; ++i) {
    reqs += Frame(kText, "[\"REQ\",\"" + std::to_string(i) + "\",{\"limit\":0}]");
  }
  const double begin = Now();
  std::thread sender([&] { client->Send(reqs); });
  int closed = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (client->ReadFrame().payload.starts_with("[\"CLOSED\"")) ++closed;
  }
  sender.join();
  EXPECT_LT(Now() - begin, 40 * kAtOnce);
  EXPECT_GT(closed, 9'000);
  target.ExpectHealthy();
}

TEST(ProtocolTest, MessagesOfTheLimitAreReadAndLongerOnesClosed1009) {
  const Target target({"--limits-message-bytes=300KiB", "--limits-neg-message-bytes=300KiB"});
  constexpr size_t kMost = 300 * 1024;
  const auto client = WebSocketClient(target);
  client->SendFrame(kText, std::string(kMost, 'x'));
  EXPECT_THAT(client->ReadFrame().payload, testing::StartsWith("[\"NOTICE\",\"invalid: "));
  EXPECT_EQ(CloseCodeFor(target, Frame(kText, std::string(kMost + 1, 'x'))), 1009);
  EXPECT_EQ(CloseCodeFor(target, Frame(0x01, std::string(kMost, 'x')) + Frame(0x80, "x")), 1009);
  target.ExpectHealthy();
}

// Up to the limit of reconciliation's the bytes are taken, but nothing else is parsed.
TEST(ProtocolTest, OnlyReconciliationHasMessagesBeyondTheLimitOfOthers) {
  const Target target;
  const nostr::Limits limits;
  const auto of_size = [](const std::string& begin, size_t bytes) {
    return Frame(kText, begin + std::string(bytes - begin.size() - 2, 'f') + "\"]");
  };
  const std::string event = "[\"EVENT\",\"", open = "[\"NEG-OPEN\",\"s\",{},\"61";
  for (const size_t bytes : {limits.message_bytes + 2, limits.neg_message_bytes}) {
    EXPECT_EQ(CloseCodeFor(target, of_size(event, bytes)), 1009) << bytes;
    const auto client = WebSocketClient(target);
    client->Send(of_size(open, bytes));
    EXPECT_THAT(client->ReadFrame().payload, testing::StartsWith("[\"NEG-ERR\",\"s\",\"invalid: "));
  }
  EXPECT_EQ(target.Metric("graspd_relay_unfit_message_closes_total{reason=\"too_long\"}"), 2);
  EXPECT_EQ(target.Metric("graspd_relay_messages_received_total{verb=\"EVENT\"}"), 0);
  EXPECT_EQ(CloseCodeFor(target, of_size(event, limits.neg_message_bytes + 1)), 1009);
  EXPECT_EQ(CloseCodeFor(target, of_size(open, limits.neg_message_bytes + 1)), 1009);
  target.ExpectHealthy();
}

TEST(ProtocolTest, AMessageMayHave64FragmentsWithPingsBetweenThem) {
  const Target target;
  const std::string request = R"(["REQ","s",{"limit":0}])";
  const auto in_fragments = [&](int count) {
    std::string bytes = Frame(0x01, request.substr(0, 1));
    for (int i = 2; i < count; ++i) bytes += Frame(0x00, "");
    return bytes + Frame(kPing, "between") + Frame(0x80, request.substr(1));
  };
  const auto client = WebSocketClient(target);
  client->Send(in_fragments(64));
  EXPECT_EQ(client->ReadFrame().payload, "between");
  EXPECT_EQ(client->ReadFrame().payload, R"(["EOSE","s"])");
  EXPECT_EQ(CloseCodeFor(target, in_fragments(65)), 1009);
  target.ExpectHealthy();
}

TEST(ProtocolTest, FloodsOfPingsAndPongsAreClosedAndCostLittle) {
  const Target target;
  std::string pings, pongs;
  for (int i = 0; i < Scaled(100'000); ++i) {
    pings += Frame(kPing, "?");
    pongs += Frame(kPong, "!");
  }
  EXPECT_EQ(CloseCodeFor(target, pings), 1008);
  EXPECT_EQ(CloseCodeFor(target, pongs), 1008);
  EXPECT_EQ(target.Metric("graspd_relay_violation_closes_total"), 2);
  target.ExpectHealthy();
}

}  // namespace
}  // namespace graspd::adversarial
