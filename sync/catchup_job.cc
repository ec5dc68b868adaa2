#include "sync/catchup_job.h"

#include <algorithm>
#include <utility>

namespace graspd::sync {

CatchUpJob::CatchUpJob(uint64_t id, nostr::Filter filter, bool try_negentropy, const Limits& limits,
                       std::optional<uint64_t> pages_since)
    : id_(id),
      filter_(std::move(filter)),
      pages_since_(pages_since),
      neg_subscription_("neg-" + std::to_string(id)),
      limits_(limits),
      requests_(limits.requests),
      ids_per_req_(limits.ids_per_request),
      page_size_(std::min(kPageSize, limits.page)) {
  if (!try_negentropy) support_ = NegentropySupport::kNo;
}

void CatchUpJob::Start(base::SteadyTime now, Actions& out) {
  last_progress_ = now;
  patience_ = now + kPatience;
  if (support_ == NegentropySupport::kNo) {
    BeginPages(now, out);
    return;
  }
  phase_ = Phase::kReconcile;
  method = SyncMethod::kNegentropy;
  computing_ = true;
  out.push_back(StartReconcile{});
}

// ---- reconciliation ------------------------------------------------------------------------

void CatchUpJob::OnReconcileStep(base::SteadyTime now, absl::StatusOr<ReconcileStep> step,
                                 Actions& out) {
  if (phase_ != Phase::kReconcile) return;
  computing_ = false;
  last_progress_ = now;
  patience_ = std::max(patience_, now + kProgressTimeout);  // computing was our own time
  if (!step.ok()) {
    // Our own set is too large, the store failed, or the peer's messages make no sense, no progress
    // or no end.
    futile = neg_opened_ && absl::IsResourceExhausted(step.status());
    CloseNegentropy(out);
    error = std::string(step.status().message());
    BeginPages(now, out);
    return;
  }
  have += step->have;
  need += step->need;
  for (const auto& id : step->wanted) pending_.push_back({id});
  if (step->message.empty()) {
    CloseNegentropy(out);
  } else {
    bytes += step->message.size();
    ++rounds;
    items_ = step->items;
    asked_at_ = now;
    if (!neg_opened_) {
      neg_opened_ = true;
      out.push_back(SendNegOpen{neg_subscription_, std::move(step->message)});
    } else {
      out.push_back(SendNegMsg{neg_subscription_, std::move(step->message)});
    }
  }
  PumpFetches(now, out);
  FinishIfIdle();
}

void CatchUpJob::OnNegMsg(base::SteadyTime now, std::string message, Actions& out) {
  if (phase_ != Phase::kReconcile || neg_ended_ || computing_ || held_reply_) return;
  support_ = NegentropySupport::kYes;
  waited_ += std::max(now - asked_at_, base::Duration::zero());
  Progress(now, std::chrono::seconds(5));
  bytes += message.size();
  if (waited_ > kNegPatience + kNegPatiencePerItem * static_cast<int64_t>(items_)) {
    GiveUpReconciling(now, "the remote's reconciliation has no end", out);
    return;
  }
  held_reply_ = std::move(message);
  ContinueIfRoom(out);
  if (held_reply_) PumpFetches(now, out);
}

void CatchUpJob::ContinueIfRoom(Actions& out) {
  if (!held_reply_ || pending_.size() > kPendingIds) return;
  if (limits_.singly && !fetches_.empty()) return;
  computing_ = true;
  out.push_back(ContinueReconcile{std::move(*held_reply_)});
  held_reply_.reset();
}

void CatchUpJob::OnNegRefused(base::SteadyTime now, std::string_view reason, bool unsupported,
                              Actions& out) {
  if (phase_ != Phase::kReconcile || neg_ended_) return;
  neg_ended_ = true;
  FallBack(now, reason, unsupported, out);
}

void CatchUpJob::OnNegIgnored(base::SteadyTime now, std::string_view reason, bool unsupported,
                              Actions& out) {
  if (phase_ != Phase::kReconcile || neg_ended_) return;
  CloseNegentropy(out);  // the remote may hold a session all the same
  FallBack(now, reason, unsupported, out);
}

void CatchUpJob::FallBack(base::SteadyTime now, std::string_view reason, bool unsupported,
                          Actions& out) {
  // Who has answered once speaks the protocol, whatever ended this session.
  if (support_ == NegentropySupport::kUnknown) {
    support_ = unsupported ? NegentropySupport::kNo : NegentropySupport::kYes;
  }
  error = reason.substr(0, 256);
  BeginPages(now, out);
}

void CatchUpJob::GiveUpReconciling(base::SteadyTime now, std::string_view reason, Actions& out) {
  CloseNegentropy(out);
  futile = true;
  error = reason;
  BeginPages(now, out);
}

void CatchUpJob::CloseNegentropy(Actions& out) {
  if (neg_opened_ && !neg_ended_) out.push_back(SendNegClose{neg_subscription_});
  neg_ended_ = true;
  held_reply_.reset();
}

// ---- fetching what is missing ----------------------------------------------------------------

void CatchUpJob::PumpFetches(base::SteadyTime now, Actions& out) {
  if (limits_.singly && !neg_ended_ && !held_reply_) return;
  while (!pending_.empty() && fetches_.size() < requests_) {
    Fetch fetch;
    nostr::Filter filter;
    filter.ids.emplace();
    while (!pending_.empty() && filter.ids->size() < ids_per_req_) {
      const Wanted next = pending_.front();
      pending_.pop_front();
      fetch.outstanding.emplace(next.id, next.attempts + 1);
      filter.ids->push_back(next.id);
    }
    filter.Normalize();
    std::string subscription =
        "fetch-" + std::to_string(id_) + "-" + std::to_string(next_request_++);
    fetch.alone = fetches_.empty() && requests_ == 1;
    fetches_.emplace(subscription, std::move(fetch));
    out.push_back(SendReq{std::move(subscription), std::move(filter)});
    last_progress_ = now;
  }
}

void CatchUpJob::EndFetch(base::SteadyTime now, Fetches::iterator fetch, Actions& out) {
  out.push_back(SendClose{fetch->first});
  const auto& [outstanding, delivered, alone] = fetch->second;
  const bool some = delivered > 0 && !outstanding.empty();
  if (!some) {
    if (delivered + outstanding.size() >= ids_per_req_) ids_per_req_ *= 2;
  } else if (delivered <= outstanding.size()) {
    ids_per_req_ = delivered;  // as many as it serves, or there are few
  }
  ids_per_req_ = std::min(ids_per_req_, limits_.ids_per_request);
  for (const auto& [id, attempts] : outstanding) {
    if (some) {
      pending_.push_back({id, attempts - 1});  // its answer may have been full
    } else if (attempts < kAttempts) {
      pending_.push_back({id, attempts});
    } else {
      given_up.push_back(id);
      ++missing;
    }
  }
  in_vain_ += fetch->second.outstanding.size();
  fetches_.erase(fetch);
  if (in_vain_ > kGhosts && in_vain_ > fetched) {
    GiveUpReconciling(now, "the remote names events that it does not deliver", out);
    return;
  }
  PumpFetches(now, out);
  ContinueIfRoom(out);
  FinishIfIdle();
}

void CatchUpJob::FinishIfIdle() {
  if (phase_ == Phase::kReconcile && neg_ended_ && !computing_ && pending_.empty() &&
      fetches_.empty()) {
    phase_ = Phase::kDone;
  }
}

// ---- pages -----------------------------------------------------------------------------------

void CatchUpJob::BeginPages(base::SteadyTime now, Actions& out) {
  // Pages deliver whatever reconciliation had still wanted; but then of all times, for it compares
  // those too.
  pages_since_ = RemainingPagesSince();
  for (const auto& [subscription, fetch] : fetches_) out.push_back(SendClose{subscription});
  fetches_.clear();
  pending_.clear();
  phase_ = Phase::kPages;
  method = SyncMethod::kReq;
  last_progress_ = now;
  patience_ = now + kPatience;
  if (filter_.until) {
    page_until_ = *filter_.until;
    page_bounded_ = true;
  }
  RequestPage(out);
}

void CatchUpJob::RequestPage(Actions& out) {
  nostr::Filter filter = filter_;
  filter.limit = page_size_;
  if (page_bounded_) filter.until = page_until_;
  if (pages_since_) filter.since = std::max(filter.since.value_or(0), *pages_since_);
  page_events_ = page_new_ = 0;
  page_oldest_ = UINT64_MAX;
  seen_at_oldest_.clear();
  ++pages_;
  page_subscription_ = "page-" + std::to_string(id_) + "-" + std::to_string(next_request_++);
  out.push_back(SendReq{page_subscription_, std::move(filter)});
}

void CatchUpJob::EndPage(base::SteadyTime now, Actions& out) {
  out.push_back(SendClose{page_subscription_});
  page_subscription_.clear();
  Progress(now, std::chrono::seconds(1));
  if (page_events_ == 0) {
    phase_ = Phase::kDone;
    return;
  }
  if (page_oldest_ == UINT64_MAX) {  // only events that cannot be read and say no time
    if (page_events_ >= page_size_) {
      Abort("a page brings only events that cannot be read", out);
    } else {
      phase_ = Phase::kDone;
    }
    return;
  }
  if (pages_ >= kMaxPages) {
    Abort("gave up after " + std::to_string(pages_) + " pages", out);
    return;
  }
  const uint64_t oldest = page_bounded_ ? std::min(page_oldest_, page_until_) : page_oldest_;
  if (page_new_ > 0) {
    // Inclusive: the second may go on in the next page.
    if (!page_bounded_ || oldest != page_until_) {
      seen_at_until_.clear();
      page_size_ = std::min(kPageSize, limits_.page);
    }
    seen_at_until_.merge(seen_at_oldest_);
    page_until_ = oldest;
  } else if (page_events_ >= page_size_ && page_size_ < limits_.page) {
    page_size_ = limits_.page;  // one second fills the page: there may be more of it
  } else if (oldest == 0) {
    phase_ = Phase::kDone;
    return;
  } else {
    // The same again and nothing else: step below it, or we would ask for it for ever.
    page_until_ = oldest - 1;
    page_size_ = std::min(kPageSize, limits_.page);
    seen_at_until_.clear();
  }
  page_bounded_ = true;
  if (seen_at_until_.size() > kIdsPerSecond) {
    Abort("too many events of one second", out);
    return;
  }
  RequestPage(out);
}

nostr::Filter CatchUpJob::Remaining() const {
  nostr::Filter filter = filter_;
  if (phase_ == Phase::kPages && page_bounded_) filter.until = page_until_;
  return filter;
}

std::optional<uint64_t> CatchUpJob::RemainingPagesSince() const {
  return pending_.empty() && fetches_.empty() ? pages_since_ : std::nullopt;
}

// ---- what the remote says ----------------------------------------------------------------------

// Something useful has come: the deadline moves, and so does, by `credit`, the end of our patience.
// What we wait for besides comes after it, if answers come in turn.
void CatchUpJob::Progress(base::SteadyTime now, base::Duration credit) {
  last_progress_ = now;
  patience_ = std::min(patience_ + credit, now + kPatience);
  asked_at_ = std::min(asked_at_ + credit, now);
}

void CatchUpJob::OnEvent(base::SteadyTime now, std::string_view subscription,
                         const nostr::EventId& id, uint64_t created_at, Actions& out) {
  if (phase_ == Phase::kPages && subscription == page_subscription_) {
    OnPageEvent(now, id, created_at, out);
    return;
  }
  const auto fetch = fetches_.find(subscription);
  if (fetch == fetches_.end() || fetch->second.outstanding.erase(id) == 0) return;
  ++fetch->second.delivered;
  refusals_ = 0;
  Progress(now, std::chrono::seconds(1));
  ++fetched;
}

void CatchUpJob::OnUnreadable(base::SteadyTime now, std::string_view subscription,
                              const nostr::EventId& id, std::optional<uint64_t> created_at,
                              Actions& out) {
  if (phase_ == Phase::kPages && subscription == page_subscription_) {
    // Without a time it does not tell how far the page goes.
    if (created_at) {
      OnPageEvent(now, id, *created_at, out);
    } else {
      ++page_events_;
    }
    return;
  }
  const auto fetch = fetches_.find(subscription);
  if (fetch == fetches_.end() || fetch->second.outstanding.erase(id) == 0) return;
  ++fetch->second.delivered;
  Progress(now, std::chrono::seconds(1));
  given_up.push_back(id);
  ++missing;
}

void CatchUpJob::OnPageEvent(base::SteadyTime now, const nostr::EventId& id, uint64_t created_at,
                             Actions& out) {
  Progress(now, std::chrono::seconds(1));
  if (++page_events_ > kPageOverrun) {
    Abort("the remote sends more than was asked for", out);
    return;
  }
  if (created_at < page_oldest_) {
    page_oldest_ = created_at;
    seen_at_oldest_.clear();
  }
  if (created_at == page_oldest_) seen_at_oldest_.insert(id);
  const bool seen = page_bounded_ && (created_at > page_until_ ||
                                      (created_at == page_until_ && seen_at_until_.contains(id)));
  if (seen) return;
  ++page_new_;
  ++fetched;
}

void CatchUpJob::OnEose(base::SteadyTime now, std::string_view subscription, Actions& out) {
  if (phase_ == Phase::kPages && subscription == page_subscription_) {
    EndPage(now, out);
    return;
  }
  const auto fetch = fetches_.find(subscription);
  if (fetch != fetches_.end()) EndFetch(now, fetch, out);
}

void CatchUpJob::OnClosed(base::SteadyTime now, std::string_view subscription,
                          std::string_view reason, Actions& out) {
  if (subscription == neg_subscription_) {
    // These say whom it refuses; anything else, that it does not know the message.
    const bool refuses_us =
        reason.starts_with("auth-required:") || reason.starts_with("restricted:");
    OnNegRefused(now, reason, /*unsupported=*/!refuses_us, out);
  } else if (phase_ == Phase::kPages && subscription == page_subscription_) {
    Abort("remote closed the subscription: " + std::string(reason.substr(0, 200)), out);
  } else if (const auto fetch = fetches_.find(subscription); fetch != fetches_.end()) {
    OnFetchRefused(now, fetch, reason, out);
  }
}

// Most often these are too many at a time.
void CatchUpJob::OnFetchRefused(base::SteadyTime now, Fetches::iterator fetch,
                                std::string_view reason, Actions& out) {
  if (fetch->second.outstanding.empty()) return EndFetch(now, fetch, out);  // no EOSE, but all
  for (const auto& [id, attempts] : fetch->second.outstanding) {
    pending_.push_back({id, attempts - 1});
  }
  const bool was_alone = fetch->second.alone;
  fetches_.erase(fetch);
  error = reason.substr(0, 256);
  requests_ = std::max<size_t>(requests_ / 2, 1);
  if (was_alone && ++refusals_ >= kRefusals) {
    Abort("remote closed the subscription: " + std::string(reason.substr(0, 200)), out);
    return;
  }
  PumpFetches(now, out);
  ContinueIfRoom(out);
  FinishIfIdle();
}

bool CatchUpJob::Owns(std::string_view subscription) const {
  if (subscription == neg_subscription_) return true;
  if (phase_ == Phase::kPages) return subscription == page_subscription_;
  return fetches_.contains(subscription);
}

bool CatchUpJob::WaitsForRemote() const {
  if (phase_ == Phase::kPages) return true;
  return phase_ == Phase::kReconcile && (!fetches_.empty() || (!computing_ && !neg_ended_));
}

void CatchUpJob::OnDeadline(base::SteadyTime now, Actions& out) {
  if (finished() || now < deadline()) return;
  if (!WaitsForRemote()) {  // our own pools are busy; that is no fault of the remote
    last_progress_ = now;
    patience_ = now + kPatience;
    return;
  }
  if (now >= patience_) {
    Abort("the remote is too slow", out);
    return;
  }
  if (phase_ == Phase::kPages) {
    Abort("no answer to a page within the deadline", out);
    return;
  }
  if (!fetches_.empty()) {
    // Silence is no answer: it does not count as an attempt to get these ids.
    const auto complete = std::find_if(fetches_.begin(), fetches_.end(), [](const auto& fetch) {
      return fetch.second.outstanding.empty();
    });
    if (complete == fetches_.end()) {
      Abort("the remote does not deliver what it has", out);
      return;
    }
    last_progress_ = now;
    EndFetch(now, complete, out);
    return;
  }
  OnNegIgnored(now, "no answer to a negentropy message within the deadline",
               support_ == NegentropySupport::kUnknown, out);
}

void CatchUpJob::Abort(std::string reason, Actions& out) {
  CloseNegentropy(out);
  for (const auto& [subscription, fetch] : fetches_) out.push_back(SendClose{subscription});
  fetches_.clear();
  if (!page_subscription_.empty()) out.push_back(SendClose{page_subscription_});
  page_subscription_.clear();
  error = std::move(reason);
  phase_ = Phase::kFailed;
}

}  // namespace graspd::sync
