#include "net/resolver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>

#include "net/test_support.h"

namespace graspd::net {
namespace {

absl::StatusOr<std::vector<IpAddress>> Ask(Resolver& resolver, IoPool& pool, std::string host) {
  std::promise<absl::StatusOr<std::vector<IpAddress>>> answer;
  IoThread& thread = pool.thread(0);
  resolver.Resolve(std::move(host), thread, [&](auto result) {
    EXPECT_TRUE(thread.IsCurrent());
    answer.set_value(std::move(result));
  });
  return Await(answer.get_future());
}

TEST(SystemResolverTest, LiteralsNeedNoThreads) {
  IoPool pool(1);
  auto resolver = MakeSystemResolver(/*threads=*/0, /*queue=*/0);
  EXPECT_EQ(Ask(*resolver, pool, "192.0.2.1").value()[0].ToString(), "192.0.2.1");
  EXPECT_EQ(Ask(*resolver, pool, "2001:db8::1").value()[0].ToString(), "2001:db8::1");
}

TEST(SystemResolverTest, ResolvesLocalhostOnceEachAddress) {
  IoPool pool(1);
  auto resolver = MakeSystemResolver(1, 8);
  auto answer = Ask(*resolver, pool, "localhost");
  ASSERT_TRUE(answer.ok()) << answer.status();
  std::sort(answer->begin(), answer->end());
  EXPECT_EQ(std::adjacent_find(answer->begin(), answer->end()), answer->end());
}

TEST(SystemResolverTest, FullQueueRefuses) {
  IoPool pool(1);
  auto resolver = MakeSystemResolver(/*threads=*/0, /*queue=*/0);
  EXPECT_EQ(Ask(*resolver, pool, "relay.example").status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace graspd::net
