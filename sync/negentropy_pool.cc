#include "sync/negentropy_pool.h"

#include <utility>
#include <vector>

#include "nostr/negentropy/reconciler.h"

namespace graspd::sync {

struct NegentropyPool::Session {
  uint64_t id;
  nostr::Filter filter;
  size_t frame_bytes;
  std::unique_ptr<negentropy::Initiator> initiator;  // touched by one step at a time
};

// What steps on other threads need, alive as long as any of them runs.
struct NegentropyPool::Shared : std::enable_shared_from_this<Shared> {
  storage::EventStore& store;
  const std::weak_ptr<storage::NegSets> sets;
  ingest::KnownRefusals& refusals;
  base::BlockingPool& scans;
  base::CpuPool& cpu;
  const base::Clock& clock;
  base::Executor& executor;
  // Called on the executor; null once the pool is gone.
  std::function<void(const Session&, absl::StatusOr<ReconcileStep>)> report;

  Shared(storage::EventStore& s, std::weak_ptr<storage::NegSets> n, ingest::KnownRefusals& f,
         base::BlockingPool& r, base::CpuPool& c, const base::Clock& k, base::Executor& e)
      : store(s), sets(std::move(n)), refusals(f), scans(r), cpu(c), clock(k), executor(e) {}

  void Deliver(std::shared_ptr<Session> session, absl::StatusOr<ReconcileStep> step) {
    executor.Post([self = shared_from_this(), session, step = std::move(step)]() mutable {
      if (self->report) self->report(*session, std::move(step));
    });
  }

  void Read(std::shared_ptr<Session> session, std::function<void()> work) {
    if (!scans.TryRun(std::move(work))) {
      Deliver(session, absl::UnavailableError("too many store reads are queued"));
    }
  }

  void Begin(std::shared_ptr<Session> session) {
    auto self = shared_from_this();
    Read(session, [self, session] {
      const auto kept = self->sets.lock();
      if (!kept) return;  // the end of the process
      // Called by whoever reads the set, perhaps for others as well.
      const auto begin = [self, session](const absl::StatusOr<storage::NegSets::SetPtr>& set) {
        if (set.ok()) {
          self->SendFirst(session, *set);
        } else {
          self->List(session);
        }
      };
      kept->Get(session->filter, begin, storage::NegSets::kKeptForSync);
    });
  }

  void List(std::shared_ptr<Session> session) {
    auto self = shared_from_this();
    Read(session, [self, session] {
      auto items = self->store.ListItems(session->filter, self->clock.UnixNow(), kMaxItems);
      if (!items.ok()) {
        self->Deliver(session, items.status());
        return;
      }
      self->SendFirst(session, std::make_shared<negentropy::SealedSet>(*std::move(items)));
    });
  }

  void SendFirst(std::shared_ptr<Session> session, storage::NegSets::SetPtr set) {
    auto self = shared_from_this();
    cpu.Run(base::CpuPool::Priority::kNegentropy, [self, session, set = std::move(set)] {
      negentropy::ReconcileLimits limits;
      limits.frame_bytes = session->frame_bytes;
      session->initiator = std::make_unique<negentropy::Initiator>(set, limits, kMaxIds);
      ReconcileStep step;
      step.message = session->initiator->Start();
      step.items = session->initiator->items();
      self->Deliver(session, std::move(step));
    });
  }

  void Advance(std::shared_ptr<Session> session, std::string reply) {
    auto self = shared_from_this();
    cpu.Run(base::CpuPool::Priority::kNegentropy, [self, session, reply = std::move(reply)] {
      auto found = session->initiator->Continue(reply);
      if (!found.ok()) {
        self->Deliver(session, found.status());
        return;
      }
      ReconcileStep step;
      step.message = std::move(found->message);
      step.have = found->have.size();
      step.need = found->need.size();
      step.items = session->initiator->items();
      if (found->need.empty()) {
        self->Deliver(session, std::move(step));
        return;
      }
      self->LeaveOutKnown(session, std::move(step), std::move(found->need));
    });
  }

  // Events that were deleted or refused here stay on other relays: they must not be fetched again
  // and again.
  void LeaveOutKnown(std::shared_ptr<Session> session, ReconcileStep step,
                     std::vector<nostr::EventId> ids) {
    auto self = shared_from_this();
    Read(session, [self, session, step = std::move(step), ids = std::move(ids)]() mutable {
      const auto known = self->store.Known(ids);
      if (!known.ok()) {  // ours, not what kResourceExhausted would say of the remote
        self->Deliver(session, absl::UnavailableError(known.status().message()));
        return;
      }
      std::vector<nostr::EventId> unknown;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (!(*known)[i]) unknown.push_back(ids[i]);
      }
      const auto in_vain = self->refusals.InVain(unknown);
      for (size_t i = 0; i < unknown.size(); ++i) {
        if (!in_vain[i]) step.wanted.push_back(unknown[i]);
      }
      self->Deliver(session, std::move(step));
    });
  }
};

NegentropyPool::NegentropyPool(storage::EventStore& store, std::weak_ptr<storage::NegSets> sets,
                               ingest::KnownRefusals& refusals, base::BlockingPool& scans,
                               base::CpuPool& cpu, const base::Clock& clock,
                               base::Executor& executor, Callback on_step)
    : shared_(
          std::make_shared<Shared>(store, std::move(sets), refusals, scans, cpu, clock, executor)) {
  shared_->report = [this, on_step = std::move(on_step)](const Session& session,
                                                         absl::StatusOr<ReconcileStep> step) {
    // Another session may have been started under the same number since.
    const auto found = sessions_.find(session.id);
    if (found != sessions_.end() && found->second.get() == &session) {
      on_step(session.id, std::move(step));
    }
  };
}

NegentropyPool::~NegentropyPool() { shared_->report = nullptr; }

void NegentropyPool::Start(uint64_t session, const nostr::Filter& filter, size_t frame_bytes) {
  auto made = std::make_shared<Session>(Session{session, filter, frame_bytes, nullptr});
  sessions_[session] = made;
  shared_->Begin(std::move(made));
}

void NegentropyPool::Continue(uint64_t session, std::string reply) {
  const auto found = sessions_.find(session);
  if (found != sessions_.end()) shared_->Advance(found->second, std::move(reply));
}

void NegentropyPool::Drop(uint64_t session) { sessions_.erase(session); }

}  // namespace graspd::sync
