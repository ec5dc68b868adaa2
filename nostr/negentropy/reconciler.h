// Range-based set reconciliation, NIP-77's negentropy protocol version 1 (0x61).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nostr/negentropy/item_set.h"

namespace graspd::negentropy {

/// What one message may cost; the owner of the session adds idle time and CPU. The work a message
/// makes grows with its size and that of the answer, times O(log n) for a set of n items.
struct ReconcileLimits {
  /// Largest message to produce, bytes, 0 = unlimited (below 4096 counts as 4096): what does not
  /// fit is left for the next round.
  size_t frame_bytes = 0;
  /// Largest message to accept, bytes.
  size_t max_message_bytes = 1536 * 1024;
};

/// What one message asked, as the side that answers sees it.
struct Round {
  /// The first range that is neither skipped nor known to be equal. Narrower, or further up, is
  /// progress.
  struct Open {
    Item lower;    // its lower end
    size_t count;  // of our items in it
    bool listed;   // by the peer's ids, which ours answer: that closes the range
  };
  std::optional<Open> open;  // nothing if all is equal
  /// What the answer took, in units of about a microsecond; deterministic.
  size_t work = 0;
};

/// The side that answers. Stateless between messages apart from the set it reads;
/// thread-compatible.
class Responder {
 public:
  Responder(std::shared_ptr<const ItemView> set, ReconcileLimits limits);
  /// Answers one message. Errors: kInvalidArgument for a malformed one. A message of another
  /// protocol version is answered, as NIP-77 says, with one byte: the version we speak.
  /// `round`, unless null, is told what the message asked, also if it is malformed further on.
  absl::StatusOr<std::string> Answer(std::string_view message, Round* round = nullptr) const;

 private:
  std::shared_ptr<const ItemView> set_;
  ReconcileLimits limits_;
};

/// Tells whether the peer that asks gets on: after every round its first open range must have moved
/// up or halved, but for kMaxIdleRounds in a row. That allows for peers that repeat a range they
/// have cut, or split it where we have nothing; conforming ones need two or three. A plain value.
class AskerProgress {
 public:
  static constexpr int kMaxIdleRounds = 16;
  /// False once there have been too many idle rounds in a row.
  [[nodiscard]] bool Continues(const Round& round);

 private:
  std::optional<Round::Open> best_;
  int idle_rounds_ = 0;
};

/// The side that asks and learns the difference. Thread-compatible.
///
///   Initiator initiator(set, limits);
///   message = initiator.Start();
///   loop: send message; step = initiator.Continue(reply); collect step.have, step.need;
///         until step.message is empty.
///
/// The set must not change during the session. Guards against a hostile responder: at most
/// kMaxIdleRounds rounds in a row may pass without new ids and without the first open range moving
/// on or halving, else kFailedPrecondition; more than `max_ids` ids in total, or more rounds, bytes
/// or work than MaxRounds(), MaxReplyBytes() and MaxWork(), give kResourceExhausted: one item a
/// round is progress, too. `have` and `need` name an id once, however often the peer repeats it.
/// What the peer says is not verified: an id under `need` may not exist, or be ours after all if
/// the peer named it in a range it does not belong to.
class Initiator {
 public:
  /// Conforming peers need none or one; some repeat a range they have cut.
  static constexpr int kMaxIdleRounds = 4;
  /// What a session over so many items() may take. Conforming peers need at most a round for each
  /// 55 items, where frames are of 4 kB and every other item differs, and 70 bytes for each item;
  /// 380 where our frames are that short and theirs are not, so that most of a reply is in vain.
  static constexpr size_t MaxRounds(size_t items) { return 64 + items / 16; }
  static constexpr size_t MaxReplyBytes(size_t items) { return (4u << 20) + 1024 * items; }
  /// In the units of Round::work: a peer that lists the same range again and again has us look at
  /// all that is in it. Conforming peers, whatever their fan-out and frames, need 7 an item; most,
  /// less than one.
  static constexpr size_t MaxWork(size_t items) { return 65'536 + 16 * items; }

  struct Step {
    std::string message;               // to send next; empty = finished
    std::vector<nostr::EventId> have;  // ours, missing there, found in this round
    std::vector<nostr::EventId> need;  // theirs, missing here
  };
  Initiator(std::shared_ptr<const ItemView> set, ReconcileLimits limits,
            size_t max_ids = 5'000'000);
  Initiator(Initiator&&) noexcept;
  Initiator& operator=(Initiator&&) noexcept;
  ~Initiator();
  /// The first message. To be called once, before Continue().
  std::string Start();
  /// Errors: kInvalidArgument malformed, kUnimplemented the peer speaks another version,
  /// kFailedPrecondition no progress or no session open, kResourceExhausted too many ids, rounds,
  /// bytes or work. After an error the session is over.
  absl::StatusOr<Step> Continue(std::string_view reply);
  /// Ours, and those of the peer that it has named so far and we lack.
  [[nodiscard]] size_t items() const;
  /// What all replies so far have taken, in the units of Round::work.
  [[nodiscard]] size_t work() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace graspd::negentropy
