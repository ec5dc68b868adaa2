#include "services/ops/ops_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace graspd::ops {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OpsServerTest : public ::testing::Test {
 protected:
  [[nodiscard]] Probes MakeProbes() {
    return {[this] { return live_; }, [this] { return checks_; }};
  }

  net::HttpResponse Get(const std::string& target, const std::string& method = "GET") {
    net::HttpRequest request;
    request.method = method;
    request.target = target;
    return Respond(request, MakeProbes(), metrics_);
  }

  bool live_ = true;
  std::vector<ReadinessCheck> checks_ = {{"store", true, ""}, {"relay", true, "2 listeners"}};
  base::Metrics metrics_;
};

/// One request over TCP, as a client that closes afterwards; the whole answer.
std::string Fetch(const net::SocketAddress& server, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return "cannot connect";
  }
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return answer;
}

TEST_F(OpsServerTest, LivenessFollowsItsProbe) {
  EXPECT_EQ(Get("/livez").status, 200);
  EXPECT_EQ(Get("/livez").body, "ok\n");
  live_ = false;
  EXPECT_EQ(Get("/livez").status, 503);
}

TEST_F(OpsServerTest, LivenessDoesNotDependOnReadiness) {
  checks_ = {{"store", false, "gone"}};
  EXPECT_EQ(Get("/livez").status, 200);
}

TEST_F(OpsServerTest, ReadinessHasOneLineForEachCheck) {
  EXPECT_EQ(Get("/readyz").status, 200);
  EXPECT_EQ(Get("/readyz").body, "ok     store\nok     relay: 2 listeners\n");
}

TEST_F(OpsServerTest, OneFailedCheckMeansNotReady) {
  checks_[0] = {"store", false, "disk full"};
  const net::HttpResponse response = Get("/readyz");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "not ok store: disk full\nok     relay: 2 listeners\n");
}

TEST_F(OpsServerTest, MetricsAreServedInThePrometheusTextFormat) {
  metrics_.MakeCounter("graspd_test_total", "A test.").Increment(3);
  const net::HttpResponse response = Get("/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.content_type, StartsWith("text/plain; version=0.0.4"));
  EXPECT_THAT(response.body, HasSubstr("# TYPE graspd_test_total counter\ngraspd_test_total 3\n"));
}

TEST_F(OpsServerTest, TheQueryIsNotPartOfThePath) { EXPECT_EQ(Get("/livez?verbose").status, 200); }

TEST_F(OpsServerTest, AnUnknownPathNamesThoseThatExist) {
  for (const char* path : {"/healthz", "/livez/", "/LIVEZ", ""}) {
    const net::HttpResponse response = Get(path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_THAT(response.body,
                AllOf(HasSubstr("/livez"), HasSubstr("/readyz"), HasSubstr("/metrics")));
  }
  EXPECT_EQ(Get("/").status, 200);
}

TEST_F(OpsServerTest, OnlyReadingMethodsAreAllowed) {
  EXPECT_EQ(Get("/livez", "HEAD").status, 200);
  const net::HttpResponse response = Get("/livez", "POST");
  EXPECT_EQ(response.status, 405);
  ASSERT_EQ(response.headers.size(), 1u);
  EXPECT_EQ(response.headers[0].first, "Allow");
}

TEST_F(OpsServerTest, AnswersOverTcp) {
  net::IoPool pool(1);
  auto listen = net::ListenAddress::Parse("127.0.0.1:0");
  ASSERT_TRUE(listen.ok()) << listen.status();
  auto server = OpsServer::Start(pool, {*listen}, MakeProbes(), metrics_);
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ((*server)->addresses().size(), 1u);
  const net::SocketAddress address = (*server)->addresses()[0].tcp;
  EXPECT_THAT(Fetch(address, "/readyz"),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("\r\n\r\nok     store\n")));
  EXPECT_THAT(Fetch(address, "/nothing"), StartsWith("HTTP/1.1 404"));
}

}  // namespace
}  // namespace graspd::ops
