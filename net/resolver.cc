#include "net/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/cpu_pool.h"
#include "base/keyed_hash.h"
#include "base/mutex.h"
#include "net/sockaddr.h"
#include "nostr/relay_url.h"

namespace graspd::net {
namespace {

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

}  // namespace

Resolver::Answer AddressesOf(const addrinfo* list) {
  std::vector<IpAddress> addresses;
  for (const addrinfo* i = list; i != nullptr; i = i->ai_next) {
    const auto address = FromSockaddr(i->ai_addr);
    if (!address || std::find(addresses.begin(), addresses.end(), address->ip) != addresses.end()) {
      continue;
    }
    if (addresses.size() == Resolver::kMaxAddresses) {
      return absl::OutOfRangeError("name has too many addresses");
    }
    addresses.push_back(address->ip);
  }
  if (addresses.empty()) return absl::NotFoundError("name has no address");
  return addresses;
}

Resolver::Answer SystemResolver::AskSystem(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // one entry an address; no AI_ADDRCONFIG: the guard sees all
  addrinfo* list = nullptr;
  if (const int code = getaddrinfo(host.c_str(), nullptr, &hints, &list); code != 0) {
    return LookUpError(code);
  }
  Answer addresses = AddressesOf(list);
  freeaddrinfo(list);
  return addresses;
}

/// Where look-ups wait and are counted. Their threads share it, and may be the last to leave.
class SystemResolver::Desk final : public std::enable_shared_from_this<Desk> {
 public:
  struct Task {
    const std::string host, site;
    base::Executor& executor;
    const std::weak_ptr<const Callback> done;  // of who waits, so that it ends with the waiting
    bool awaited = true, under_way = false;    // guarded by the desk's lock
  };
  using TaskPtr = std::shared_ptr<Task>;

  Desk(size_t threads, size_t queue, Ask ask)
      : threads_(threads), queue_(queue), ask_(std::move(ask)) {}

  /// Answers, begins, queues or refuses it.
  void Add(const TaskPtr& task);
  /// Nobody waits for it any more.
  void Abandon(const TaskPtr& task);
  /// Nobody is answered from now on.
  void Close();
  [[nodiscard]] Load load() const;

 private:
  void StartThread(TaskPtr task);
  /// Ends a look-up; returns the one that may begin instead, which is one at most.
  TaskPtr End(Task& task, Answer answer);
  /// Under the lock, so that nothing is posted for those who wait no more.
  void Tell(const Task& task, Answer answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] bool MayBegin(const Task& task) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Begin(Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t threads_, queue_;
  const Ask ask_;
  mutable base::Mutex mutex_;
  std::deque<TaskPtr> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of those under way: how many nobody waits for, and how many each site has.
  size_t abandoned_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, size_t, base::KeyedStringHash> by_site_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

void SystemResolver::Desk::Add(const TaskPtr& task) {
  const auto literal = IpAddress::Parse(task->host);
  {
    base::MutexLock lock(mutex_);
    if (literal.ok()) return Tell(*task, std::vector{*literal});
    if (!MayBegin(*task)) {
      if (waiting_.size() >= queue_) {
        return Tell(*task, absl::ResourceExhaustedError("too many look-ups"));
      }
      waiting_.push_back(task);
      return;
    }
    Begin(*task);
  }
  StartThread(task);
}

void SystemResolver::Desk::Abandon(const TaskPtr& task) {
  base::MutexLock lock(mutex_);
  task->awaited = false;
  if (task->under_way) {
    ++abandoned_;
  } else {
    std::erase(waiting_, task);
  }
}

void SystemResolver::Desk::Close() {
  base::MutexLock lock(mutex_);
  closed_ = true;
  waiting_.clear();
}

SystemResolver::Load SystemResolver::Desk::load() const {
  base::MutexLock lock(mutex_);
  return {waiting_.size(), under_way_ - abandoned_, abandoned_};
}

// Detached, because nobody could wait for its end: it may be stuck for as long as a name server
// wants, and uses nothing but the desk.
void SystemResolver::Desk::StartThread(TaskPtr task) {
  while (task) {
    try {
      std::thread([self = shared_from_this(), task] {
        base::SetThreadName("dns");
        for (TaskPtr next = task; next;) next = self->End(*next, self->ask_(next->host));
      }).detach();
      return;
    } catch (const std::system_error&) {  // as many threads as the machine allows
      task = End(*task, absl::UnavailableError("no thread for a look-up"));
    }
  }
}

SystemResolver::Desk::TaskPtr SystemResolver::Desk::End(Task& task, Answer answer) {
  base::MutexLock lock(mutex_);
  task.under_way = false;
  --under_way_;
  if (!task.awaited) --abandoned_;
  if (const auto site = by_site_.find(task.site); --site->second == 0) by_site_.erase(site);
  Tell(task, std::move(answer));
  for (auto i = waiting_.begin(); i != waiting_.end(); ++i) {
    if (!MayBegin(**i)) continue;
    TaskPtr next = std::move(*i);
    waiting_.erase(i);
    Begin(*next);
    return next;
  }
  return nullptr;
}

void SystemResolver::Desk::Tell(const Task& task, Answer answer) {
  if (!task.awaited || closed_) return;
  task.executor.Post([weak = task.done, answer = std::move(answer)]() mutable {
    if (const auto done = weak.lock()) (*done)(std::move(answer));
  });
}

bool SystemResolver::Desk::MayBegin(const Task& task) const {
  const auto site = by_site_.find(task.site);
  return (site == by_site_.end() ? 0 : site->second) < threads_ - under_way_;
}

void SystemResolver::Desk::Begin(Task& task) {
  task.under_way = true;
  ++under_way_;
  ++by_site_[task.site];
}

SystemResolver::SystemResolver(size_t threads, size_t queue, Ask ask)
    : desk_(std::make_shared<Desk>(threads, queue, std::move(ask))) {}

SystemResolver::~SystemResolver() { desk_->Close(); }

SystemResolver::Load SystemResolver::load() const { return desk_->load(); }

std::unique_ptr<Resolver::LookUp> SystemResolver::Resolve(std::string host,
                                                          base::Executor& executor, Callback done) {
  struct Waiting final : LookUp {
    ~Waiting() override { desk->Abandon(task); }
    std::shared_ptr<const Callback> done;
    std::shared_ptr<Desk> desk;
    Desk::TaskPtr task;
  };
  auto waiting = std::make_unique<Waiting>();
  waiting->done = std::make_shared<const Callback>(std::move(done));
  waiting->desk = desk_;
  std::string site(nostr::SiteOf(host));
  waiting->task = std::make_shared<Desk::Task>(
      Desk::Task{std::move(host), std::move(site), executor, waiting->done});
  desk_->Add(waiting->task);
  return waiting;
}

}  // namespace graspd::net
