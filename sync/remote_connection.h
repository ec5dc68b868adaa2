#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "ingest/event_sink.h"
#include "net/dialer.h"
#include "nostr/keys.h"
#include "nostr/message.h"
#include "nostr/nip11.h"
#include "sync/engine.h"
#include "sync/remote_limits.h"

namespace graspd::sync {

/// What a remote said, in the order it said it, less the events themselves: those go straight to
/// ingest.
struct Eose {
  std::string subscription;
};
struct Closed {
  std::string subscription, reason;
};
struct Notice {
  std::string text;
};
struct NegReply {
  std::string subscription, bytes;
};
struct NegRefusal {
  std::string subscription, reason;
};
/// The answer to our AUTH (NIP-42).
struct Authenticated {
  bool accepted;
  std::string message;
};
/// An event of a subscription that cannot be read, and therefore not be had from this remote. No
/// offence: the remote took it.
struct Unreadable {
  std::string subscription;
  nostr::EventId id;
  std::optional<uint64_t> created_at;
};
/// What a remote should not have sent. A stray, which some relays send honestly, is no offence.
struct BadMessage {
  bool stray = false;
};
using RemoteNote = std::variant<Delivered, Eose, Closed, Notice, NegReply, NegRefusal,
                                Authenticated, Unreadable, BadMessage>;

/// Receives what connections report, on the sync thread.
class RemoteListener {
 public:
  virtual ~RemoteListener() = default;
  virtual void OnRemoteOpen(ConnectionId connection, const net::DialSuccess& success) = 0;
  virtual void OnRemoteClosed(ConnectionId connection, const net::DialFailure& failure) = 0;
  virtual void OnRemoteNotes(ConnectionId connection, std::vector<RemoteNote> notes) = 0;
  virtual void OnRemoteJudged(ConnectionId connection, std::vector<Judged> judged) = 0;
  virtual void OnRemoteInformation(ConnectionId connection,
                                   const absl::StatusOr<nostr::RelayInformation>& information,
                                   const std::string& instance) = 0;
};

/// One WebSocket connection to a remote relay: speaks NIP-01 and NIP-77, checks that each event is
/// one that was asked for, and hands it to ingest; everything else goes to the engine.
///
/// Back-pressure: while ingest has no credit left, or the sync thread is behind, reading stops.
/// Reports are gathered for one turn of the event loop and posted once. A message that makes no
/// sense, or that belongs to no subscription, is dropped and reported; how much of that is too much
/// is the engine's to say. Events that their subscription's filters do not select are dropped and
/// counted too; kStrays of them end the subscription, as if the remote had. With a key, the first
/// challenge is answered, so that nobody can have us sign more than once a connection (NIP-42).
/// What comes late for a request that we have closed is taken like the rest, and so is what a
/// remote sends for a subscription that it has closed itself: our next one of that name may have
/// crossed that. Threading: Start, Send and HangUp from any thread; everything else on its I/O
/// thread. Lifetime: kept alive by the dialler until closed; the listener may go first.
class RemoteConnection final : public net::DialHandler,
                               public std::enable_shared_from_this<RemoteConnection> {
 public:
  /// Few, because each costs as much as one that was asked for; some, because a relay that is lax
  /// with live events can bring what we want all the same.
  static constexpr uint64_t kStrays = 20;
  /// Of so many subscriptions that were closed last, late messages are no offence: all that may be
  /// open, which one change can close, and as many again.
  static constexpr size_t kRecentlyClosed = 2 * RemoteLimits::kMostSubscriptions;
  /// What late messages bring for the last so many of these is taken: all that may be open, and
  /// some requests before them.
  static constexpr size_t kFiltersKept = RemoteLimits::kMostSubscriptions + 64;
  /// Late events of a live subscription that we closed, which might never end.
  static constexpr size_t kLateLive = 1000;
  /// So many late and stray messages of a connection cost nothing.
  static constexpr uint64_t kUnwanted = 10'000;
  /// Notices, challenges and answers to nothing that cost no strike yet.
  static constexpr uint64_t kChatter = 200;
  /// A longer challenge is not signed.
  static constexpr size_t kChallengeBytes = 128;
  /// Reading stops while the sync thread has this many reports to deal with.
  static constexpr size_t kNotesInFlight = 10'000, kNotesAtOnce = 256;

  /// Without a key, challenges stay unanswered. The clock outlives the connection.
  RemoteConnection(ConnectionId id, net::IoThread& thread, base::Executor& sync_thread,
                   std::weak_ptr<RemoteListener> listener, const base::Clock& clock,
                   std::shared_ptr<const nostr::SecretKey> key);

  void Start(net::Dialer& dialer, ingest::EventSink& sink, net::DialOptions options);
  /// Carries out a FetchInformation, Subscribe, Unsubscribe or Neg* action.
  void Send(Action action);
  void HangUp();

  void OnOpen(const net::DialSuccess& success) override;
  void OnText(std::string_view message) override;
  void OnClosed(const net::DialFailure& failure) override;

 private:
  struct Subscription {
    std::vector<nostr::Filter> filters;
    storage::Source source = storage::Source::kLive;
    size_t may_bring = SIZE_MAX;  // events
    uint64_t strays = 0;
    uint64_t eoses_due = 1;  // one for each REQ of this name
    bool awaits_neg_msg = false;
  };

  void Carry(Action& action);
  void FetchDocument();
  void OnEvent(nostr::RelayEvent& message);
  void OnUnreadable(nostr::RelayUnreadable& message);
  void OnEose(const std::string& subscription);
  void OnNegMsg(nostr::RelayNegMsg& message);
  void Take(nostr::RelayEvent& message, Subscription& subscription);
  /// An event of that subscription, dropped.
  void OnStray(const std::string& subscription);
  void OnUnwanted();
  void OnResults(std::span<const ingest::Result> results);
  void OnChallenge(const std::string& challenge);
  void OnOk(const nostr::RelayOk& message);
  /// Null unless it was closed a moment ago.
  [[nodiscard]] Subscription* FindClosed(std::string_view subscription);
  void Forget(std::string subscription, bool still_wanted = false);
  void OnEndedByRemote(const std::string& subscription, RemoteNote note);
  /// Passes on what concerns `subscription`, if anything may.
  void NoteOf(const std::string& subscription, RemoteNote note);
  void Chatter();
  void Strike();
  void UpdateReading();
  void Note(RemoteNote note);
  void Flush();
  void Tell(std::function<void(RemoteListener&)> what);

  const ConnectionId id_;
  net::IoThread& thread_;
  base::Executor& sync_thread_;
  const std::weak_ptr<RemoteListener> listener_;
  const base::Clock& clock_;
  const std::shared_ptr<const nostr::SecretKey> key_;
  std::string url_;                           // that we dialled
  std::optional<nostr::EventId> auth_event_;  // that we signed
  bool auth_answered_ = false;
  std::shared_ptr<net::DialledConnection> connection_;
  std::unique_ptr<ingest::Submitter> submitter_;
  std::map<std::string, Subscription, std::less<>> subscriptions_;
  std::deque<std::pair<std::string, Subscription>> recently_closed_;
  struct InFlight {
    storage::Source source;
    uint64_t created_at;
  };
  std::deque<InFlight> in_flight_;  // events handed to ingest, in order
  std::vector<RemoteNote> notes_;
  bool flush_posted_ = false;
  size_t notes_in_flight_ = 0;  // posted to the sync thread and not dealt with
  uint64_t chatter_ = 0, unwanted_ = 0;
  bool reading_paused_ = false;
};

}  // namespace graspd::sync
