#include "net/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "base/blocking_pool.h"
#include "net/sockaddr.h"

namespace graspd::net {
namespace {

// More than any honest relay has; the rest of a larger answer is not looked at.
constexpr size_t kMaxAnswers = 64;

absl::Status LookUpError(int code) {
  switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return absl::NotFoundError(gai_strerror(code));
    default:  // EAI_AGAIN, EAI_FAIL, EAI_SYSTEM...: the server's or our trouble, not the name's
      return absl::UnavailableError(gai_strerror(code));
  }
}

absl::StatusOr<std::vector<IpAddress>> LookUp(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // one entry an address; no AI_ADDRCONFIG: the guard sees all
  addrinfo* list = nullptr;
  if (const int code = getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
    return LookUpError(code);
  }
  std::vector<IpAddress> addresses;
  for (const addrinfo* i = list; i != nullptr && addresses.size() < kMaxAnswers; i = i->ai_next) {
    const auto address = FromSockaddr(i->ai_addr);
    if (address && std::find(addresses.begin(), addresses.end(), address->ip) == addresses.end()) {
      addresses.push_back(address->ip);
    }
  }
  freeaddrinfo(list);
  if (addresses.empty()) return absl::NotFoundError("name has no address");
  return addresses;
}

class SystemResolver final : public Resolver {
 public:
  SystemResolver(size_t threads, size_t queue) : pool_(threads, queue, "dns") {}

  void Resolve(std::string host, base::Executor& executor, Callback done) override {
    if (auto literal = IpAddress::Parse(host); literal.ok()) {
      executor.Post([ip = *literal, done = std::move(done)] { done(std::vector{ip}); });
      return;
    }
    auto shared = std::make_shared<Callback>(std::move(done));
    const bool queued = pool_.TryRun([host = std::move(host), &executor, shared] {
      executor.Post([answer = LookUp(host), shared] { (*shared)(answer); });
    });
    if (queued) return;
    executor.Post([shared] { (*shared)(absl::ResourceExhaustedError("too many look-ups")); });
  }

 private:
  base::BlockingPool pool_;
};

}  // namespace

std::unique_ptr<Resolver> MakeSystemResolver(size_t threads, size_t queue) {
  return std::make_unique<SystemResolver>(threads, queue);
}

}  // namespace graspd::net
