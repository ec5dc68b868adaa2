#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "services/relay/filter_charge.h"

namespace graspd::relay {

/// The relay's own metrics, `graspd_relay_*`. Thread-safe.
class Meters {
 public:
  enum class Verb { kEvent, kReq, kClose, kCount, kAuth, kNegOpen, kNegMsg, kNegClose, kMalformed };
  static constexpr size_t kVerbs = 9;
  enum class Budget { kConnection, kAddress };  // what was used up
  static constexpr size_t kBudgets = 2;
  enum class Unfit { kTooLong, kBinary };  // a message for which its connection is closed
  static constexpr size_t kUnfits = 2;

  /// Why a reconciliation was refused or ended.
  enum class NegRefusal {
    kRequest,     // the message itself: malformed, over a limit, not allowed
    kSessions,    // too many on the connection
    kTooMany,     // events that match
    kBusy,        // no memory, no reader, no share of work for long, or the store failed
    kOutOfTurn,   // a message before the answer to the one before
    kNotOpen,     // a message for a session that does not exist
    kNoProgress,  // rounds that change nothing
    kTooLong,     // more bytes than its set justifies
    kIdle,
    kShutdown,
  };
  static constexpr size_t kNegRefusals = 10;

  explicit Meters(base::Metrics& metrics);

  void Received(Verb verb) { received_[static_cast<size_t>(verb)]->Increment(); }
  /// Counts an answer by its prefix: the text before the colon, if it is one of NIP-01's.
  void Refused(std::string_view message);
  /// Counts it under this reason, and as Refused.
  void NegRefused(NegRefusal reason, std::string_view message) {
    neg_refused_[static_cast<size_t>(reason)]->Increment();
    Refused(message);
  }
  void RateLimited(Budget budget) { rate_limited_[static_cast<size_t>(budget)]->Increment(); }
  /// A connection is closed for too many invalid messages.
  void StruckOut() { struck_out_.Increment(); }
  /// A connection is closed for a message that the relay does not read.
  void ClosedFor(Unfit message) { closed_for_[static_cast<size_t>(message)]->Increment(); }
  void SentStored(size_t events) { sent_stored_.Increment(static_cast<double>(events)); }
  void SentLive(size_t events) { sent_live_.Increment(static_cast<double>(events)); }
  void EoseAfter(double seconds) { eose_seconds_.Observe(seconds); }

  std::atomic<int64_t> subscriptions{0};
  // Of subscriptions, COUNTs and reconciliations, the messages of these included.
  const FilterCharge::Total filter_bytes = std::make_shared<std::atomic<int64_t>>(0);
  std::atomic<int64_t> reads_waiting{0};      // of all sessions, before they enter the pool
  std::atomic<int64_t> live_buffer_bytes{0};  // new events, during the stored ones
  std::atomic<int64_t> neg_sessions{0};
  std::atomic<int64_t> neg_waiting{0};  // messages, for their share of work

 private:
  std::array<prometheus::Counter*, kVerbs> received_;
  std::array<prometheus::Counter*, kNegRefusals> neg_refused_;
  std::vector<std::pair<std::string_view, prometheus::Counter*>> refused_;
  std::array<prometheus::Counter*, kBudgets> rate_limited_;
  std::array<prometheus::Counter*, kUnfits> closed_for_;
  prometheus::Counter& struck_out_;
  prometheus::Counter& sent_stored_;
  prometheus::Counter& sent_live_;
  prometheus::Histogram& eose_seconds_;
  std::vector<std::unique_ptr<base::Metrics::SampledGauge>> gauges_;  // last: they read the above
};

}  // namespace graspd::relay
