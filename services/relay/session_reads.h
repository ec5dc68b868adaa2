#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "base/blocking_pool.h"
#include "base/executor.h"
#include "services/relay/client_work.h"
#include "services/relay/meters.h"

namespace graspd::relay {

/// One session's share of a pool: so many reads at a time and 50 waiting for their turn, so that
/// no client fills the queue that all share.
///
/// Long reads are charged to the client's work, also when their session ends meanwhile, and wait
/// while that is overdrawn, and for others of the address in their turn: here, so that they take no
/// place in the pool; who then asked more than 60 s ago is refused. Threading: the connection's
/// thread, where `executor` posts to. Lifetime: pool and executor outlive the tasks on them,
/// `meters` the session; what a read has captured may be destroyed on either thread.
class SessionReads {
 public:
  /// What to do with the outcome, on the connection's thread; null for nothing.
  using Then = std::function<void()>;
  /// True once the session has ended: a long read may stop.
  using Ended = std::function<bool()>;
  /// The read itself, on the pool.
  using Job = std::function<Then(const Ended& ended)>;
  /// Tells the client why there is no read, with prefix.
  using Refuse = std::function<void(std::string_view reason)>;
  /// True once nobody wants the read any more. On either thread.
  using GivenUp = std::function<bool()>;

  /// `at_once` of them are under way at a time. `work` is null if the reads are short and cost
  /// nothing.
  SessionReads(base::BlockingPool& pool, size_t at_once, base::Executor& executor, Meters& meters,
               std::shared_ptr<ClientWork> work = nullptr);

  /// Calls `refuse` instead, perhaps at once, if too many wait here or in the pool, or if it has
  /// waited too long for its share of work. What is given up before its turn is dropped.
  void Run(Job job, Refuse refuse, GivenUp given_up = nullptr);

  /// Goes on with what waits for its share of work, and drops what is given up.
  void OnTick();

  /// Nothing is under way or waits.
  [[nodiscard]] bool empty() const;

  /// The session has ended: nothing more is begun or called. The last call.
  void Close();

 private:
  struct State;
  std::shared_ptr<State> state_;  // tasks hold it weakly
};

}  // namespace graspd::relay
