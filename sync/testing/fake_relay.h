#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nostr/event.h"
#include "nostr/filter.h"
#include "nostr/negentropy/reconciler.h"
#include "nostr/nip11.h"
#include "sync/remote_connection.h"

namespace graspd::sync::testing {

/// A remote relay in memory, as honest or as odd as a test wants it. Answers at once and in order;
/// time, latency and loss are the caller's business. Thread-compatible.
class FakeRelay {
 public:
  /// How it answers NEG-OPEN.
  enum class Negentropy {
    kSpoken,
    kNegError,
    kClosed,
    kNotice,
    kSilent,
    kEndless,       // claims that everything differs, whatever it is told
    kListsNothing,  // claims to have nothing, which asks for all that we have
    kInventsIds,    // names many events that there are not, in every answer
    kCreeps         // claims in every answer that one more of its events is not there, and that all
                    // behind it differs
  };
  struct Behaviour {
    Negentropy negentropy = Negentropy::kSpoken;
    std::string unknown_message = "ERROR: bad msg: unknown cmd";  // said by kNotice
    std::string greeting;                 // said before the first answer of each reconciliation
    size_t serves_at_most = 500;          // events for one filter, whatever its limit
    size_t serves_bytes = SIZE_MAX;       // of content for one filter, but one event at least
    size_t neg_frame_bytes = 0;           // as ReconcileLimits
    bool newest_first = true;             // else in the order of their ids
    std::set<nostr::EventId> ghosts;      // named by reconciliation, never delivered
    std::set<nostr::EventId> forged;      // delivered with a wrong signature
    std::set<nostr::EventId> unreadable;  // as we see it, their times included if that is so
    bool unreadable_times = false;
    bool answers_requests = true;  // else neither events nor EOSE
    size_t rate_limited_requests =
        0;                          // so many REQs are answered CLOSED rate-limited, then no more
    std::string instance;           // header of its upgrade response
    std::string document_instance;  // the same of its document's
    /// Nothing: who asks gets no answer.
    std::optional<nostr::RelayInformation> information = nostr::RelayInformation();
    size_t subscriptions = SIZE_MAX;  // more are answered CLOSED
    bool replaces = true;             // else a REQ of a name that is open is answered CLOSED
    size_t live_dropped = 0;          // so many live REQs get no answer and no events, then no more
    std::string says_of_dropped;      // in a NOTICE, if anything
    size_t eoses_left_out = 0;        // so many live REQs are taken without EOSE, then no more
    /// Which REQs are answered CLOSED "blocked:", if any.
    std::function<bool(const std::vector<nostr::Filter>&)> blocks;
    /// Refuses everything until the client has authenticated; its challenge comes with the
    /// connection, with the first refusal, or never.
    enum class Auth { kNone, kAtOnce, kOnRefusal, kNoChallenge } auth = Auth::kNone;
    bool accepts_auth = true;
    std::string refuses_auth = "restricted: not on the list";
  };
  Behaviour behaviour;

  using Replies = std::vector<RemoteNote>;

  /// One client's connection.
  class Session {
   public:
    explicit Session(FakeRelay& relay) : relay_(relay) {}
    Replies Req(const std::string& subscription, const std::vector<nostr::Filter>& filters);
    Replies Close(const std::string& subscription);
    Replies NegOpen(const std::string& subscription, const nostr::Filter& filter,
                    std::string_view bytes);
    Replies NegMsg(const std::string& subscription, std::string_view bytes);
    void NegClose(const std::string& subscription);
    /// True once, when it has challenged the client.
    [[nodiscard]] bool TakeChallenge();
    /// The client's AUTH, and the answer.
    Authenticated Authenticate();
    /// What an event published now brings to the open subscriptions.
    [[nodiscard]] Replies Live(const nostr::Event& event) const;
    [[nodiscard]] const FakeRelay& relay() const { return relay_; }
    [[nodiscard]] const std::map<std::string, std::vector<nostr::Filter>>& open() const {
      return open_;
    }

   private:
    // A refusal, unless the client may ask.
    [[nodiscard]] bool Refuses();

    FakeRelay& relay_;
    bool authenticated_ = false, refused_ = false, challenged_ = false;
    std::map<std::string, std::vector<nostr::Filter>> open_;
    std::map<std::string, negentropy::Responder> reconciliations_;
    std::map<std::string, uint8_t> inventions_;           // answers so far
    std::map<std::string, std::vector<uint64_t>> creep_;  // times to come, the latest first
  };

  /// Stores without telling anyone (see Session::Live).
  void Store(nostr::Event event);
  [[nodiscard]] const nostr::Event* Find(const nostr::EventId& id) const;
  [[nodiscard]] const std::map<nostr::EventId, nostr::Event>& events() const { return events_; }
  /// Number of REQs that were not live subscriptions, and of events sent for them.
  [[nodiscard]] size_t stored_requests() const { return stored_requests_; }
  [[nodiscard]] size_t events_served() const { return events_served_; }
  /// Number of AUTHs it has been sent.
  [[nodiscard]] size_t authentications() const { return authentications_; }

 private:
  [[nodiscard]] std::vector<const nostr::Event*> Query(const nostr::Filter& filter) const;

  std::map<nostr::EventId, nostr::Event> events_;
  size_t stored_requests_ = 0, events_served_ = 0, authentications_ = 0;
};

}  // namespace graspd::sync::testing
