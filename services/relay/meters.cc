#include "services/relay/meters.h"

#include <string>

namespace graspd::relay {
namespace {

constexpr std::array<std::string_view, Meters::kVerbs> kVerbNames = {
    "EVENT", "REQ", "CLOSE", "COUNT", "AUTH", "NEG-OPEN", "NEG-MSG", "NEG-CLOSE", "malformed"};
constexpr std::array<std::string_view, Meters::kNegRefusals> kNegReasons = {
    "request",  "sessions",    "too_many", "busy", "out_of_turn",
    "not_open", "no_progress", "too_long", "idle", "shutdown"};
constexpr std::array<std::string_view, Meters::kBudgets> kBudgetNames = {"connection", "address"};
constexpr std::array<std::string_view, Meters::kUnfits> kUnfitNames = {"too_long", "binary"};
constexpr std::string_view kOther = "other";  // last
constexpr std::array<std::string_view, 10> kPrefixes = {
    "duplicate", "blocked",     "rate-limited", "invalid",       "restricted",
    "error",     "unsupported", "closed",       "auth-required", kOther};

prometheus::Counter& Sent(base::Metrics& metrics, const char* phase) {
  return metrics.MakeCounter("graspd_relay_events_sent_total", "EVENT messages to clients.",
                             {{"phase", phase}});
}

}  // namespace

Meters::Meters(base::Metrics& metrics)
    : struck_out_(metrics.MakeCounter("graspd_relay_struck_out_total",
                                      "Connections closed for too many invalid messages.")),
      sent_stored_(Sent(metrics, "stored")),
      sent_live_(Sent(metrics, "live")),
      eose_seconds_(metrics.MakeHistogram("graspd_relay_eose_seconds", "Time from REQ to EOSE.",
                                          {.001, .003, .01, .03, .1, .3, 1, 3, 10})) {
  for (size_t i = 0; i < kVerbs; ++i) {
    received_[i] =
        &metrics.MakeCounter("graspd_relay_messages_received_total", "Messages from clients.",
                             {{"verb", std::string(kVerbNames[i])}});
  }
  for (size_t i = 0; i < kNegRefusals; ++i) {
    neg_refused_[i] = &metrics.MakeCounter("graspd_relay_neg_refusals_total",
                                           "Reconciliations refused or ended by NEG-ERR.",
                                           {{"reason", std::string(kNegReasons[i])}});
  }
  for (size_t i = 0; i < kBudgets; ++i) {
    rate_limited_[i] = &metrics.MakeCounter("graspd_relay_rate_limited_total",
                                            "Messages refused because a budget was used up.",
                                            {{"budget", std::string(kBudgetNames[i])}});
  }
  for (size_t i = 0; i < kUnfits; ++i) {
    closed_for_[i] = &metrics.MakeCounter("graspd_relay_unfit_message_closes_total",
                                          "Connections closed for a message that is not read.",
                                          {{"reason", std::string(kUnfitNames[i])}});
  }
  for (const std::string_view prefix : kPrefixes) {
    refused_.emplace_back(
        prefix, &metrics.MakeCounter("graspd_relay_refusals_total",
                                     "OK, CLOSED, NOTICE and NEG-ERR messages that say no.",
                                     {{"reason", std::string(prefix)}}));
  }
  gauges_.push_back(metrics.Sample("graspd_relay_subscriptions", "Open subscriptions.",
                                   [this] { return double(subscriptions.load()); }));
  gauges_.push_back(metrics.Sample("graspd_relay_filter_bytes",
                                   "Filters of subscriptions, and of COUNTs that wait.",
                                   [this] { return double(filter_bytes->load()); }));
  gauges_.push_back(metrics.Sample("graspd_relay_session_reads_waiting",
                                   "Store reads that wait for others of the same connection, or "
                                   "for their share of work.",
                                   [this] { return double(reads_waiting.load()); }));
  gauges_.push_back(metrics.Sample("graspd_relay_live_buffer_bytes",
                                   "New events that wait for a subscription's stored ones.",
                                   [this] { return double(live_buffer_bytes.load()); }));
  gauges_.push_back(metrics.Sample("graspd_relay_neg_sessions", "Open reconciliations.",
                                   [this] { return double(neg_sessions.load()); }));
  gauges_.push_back(metrics.Sample("graspd_relay_neg_waiting",
                                   "Messages of reconciliations that wait for their share of work.",
                                   [this] { return double(neg_waiting.load()); }));
}

void Meters::Refused(std::string_view message) {
  const std::string_view prefix = message.substr(0, message.find(':'));
  for (const auto& [name, counter] : refused_) {
    if (name == prefix || name == kOther) return counter->Increment();
  }
}

}  // namespace graspd::relay
