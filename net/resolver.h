#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/executor.h"
#include "net/socket_address.h"

struct addrinfo;

namespace graspd::net {

/// Turns host names into addresses. Thread-safe.
class Resolver {
 public:
  using Answer = absl::StatusOr<std::vector<IpAddress>>;
  using Callback = std::function<void(Answer)>;
  /// Of one name. More than any honest relay has; who has more is refused as a whole, for among
  /// those that are not looked at might be a forbidden one.
  static constexpr size_t kMaxAddresses = 64;
  /// Somebody waits for an answer as long as this is there.
  class LookUp {
   public:
    virtual ~LookUp() = default;
  };
  virtual ~Resolver() = default;
  /// Calls `done` on `executor`, once at most, with at least one address or an error (kNotFound: no
  /// such name, kUnavailable: try later, kResourceExhausted: too many look-ups wait, kOutOfRange:
  /// more addresses than kMaxAddresses). The caller
  /// keeps its own deadline, and destroys what is returned, on the executor's thread or after its
  /// end, to wait no more: `done` is not called from then on. `executor` outlives the resolver.
  [[nodiscard]] virtual std::unique_ptr<LookUp> Resolve(std::string host, base::Executor& executor,
                                                        Callback done) = 0;
};

/// Each address of what getaddrinfo has found, once. Errors: kNotFound, kOutOfRange as above.
Resolver::Answer AddressesOf(const addrinfo* list);

/// getaddrinfo, which cannot be cancelled: each look-up has a thread to itself until the name
/// servers have answered or been given up, whoever still waits for it then.
///
/// At most `threads` look-ups are under way. A site (nostr::SiteOf) with n of them, abandoned ones
/// included, gets one more only while more than n threads are left, so that names which hang do not
/// take them all. At most `queue` others wait for their turn, and more are refused; one that nobody
/// waits for any more is dropped from there. Lifetime: the end of a resolver does not wait for the
/// look-ups under way; they are answered no more.
class SystemResolver final : public Resolver {
 public:
  /// Far more than dials at a time: whoever gives up after seconds leaves behind a look-up that may
  /// take half a minute. A thread is there only while it looks something up.
  static constexpr size_t kThreads = 64, kQueue = 256;
  /// Looks a name up, for as long as that takes.
  using Ask = std::function<Answer(const std::string& host)>;

  explicit SystemResolver(size_t threads = kThreads, size_t queue = kQueue, Ask ask = AskSystem);
  ~SystemResolver() override;
  std::unique_ptr<LookUp> Resolve(std::string host, base::Executor& executor,
                                  Callback done) override;

  /// Look-ups, by what has become of them.
  struct Load {
    size_t queued = 0;     // wait for their turn
    size_t awaited = 0;    // under way
    size_t abandoned = 0;  // under way, and nobody waits for them any more
  };
  [[nodiscard]] Load load() const;

 private:
  class Desk;
  static Answer AskSystem(const std::string& host);
  const std::shared_ptr<Desk> desk_;
};

}  // namespace graspd::net
