#include "nostr/negentropy/reconciler.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/status_macros.h"
#include "nostr/negentropy/wire.h"

namespace graspd::negentropy {
namespace {

/// A range that differs is described by this many fingerprints...
constexpr size_t kBuckets = 16;
/// ...unless it holds fewer items than this: then by its ids.
constexpr size_t kListBelow = 2 * kBuckets;
constexpr size_t kIdBytes = nostr::EventId::kSize;

// What things take, in microseconds or in parts of one.
constexpr size_t kMessageWork = 5, kRangesPerWork = 4, kFingerprintWork = 1, kBytesPerWork = 500,
                 kIdsPerWork = 8;

constexpr size_t kMinFrame = 4096;
/// Kept free in every frame for what may follow the last range that fits: a Skip, the bound of a
/// list that was cut, one more id, and the fingerprint of the rest.
constexpr size_t kReserve = 200;

/// The first range a message leaves open. Narrower, or further up, is progress.
struct Frontier {
  size_t from;
  size_t count;
  bool listed;  // by its ids, which the peer must answer with its own: that closes the range

  [[nodiscard]] bool IsBeyond(const Frontier& best) const {
    if (from != best.from) return from > best.from;
    const bool halved = count < best.count && count <= best.count / 2;
    return halved || (listed && !best.listed);
  }
};

/// One message in the making. Once it is full it ends with a fingerprint of all that remains, and
/// takes no more.
class Message {
 public:
  Message(const ItemView& view, size_t frame_bytes)
      : view_(view),
        soft_limit_(frame_bytes == 0 ? std::numeric_limits<size_t>::max()
                                     : std::max(frame_bytes, kMinFrame) - kReserve) {}

  void Skip(const Bound& upper) { writer_.Skip(upper); }
  /// Describes [from, to) in more detail than one fingerprint.
  void Describe(size_t from, size_t to, const Bound& upper);
  /// Lists the ids of [from, to), or as many as fit.
  void List(size_t from, size_t to, const Bound& upper);

  [[nodiscard]] bool full() const { return full_; }
  /// Nothing while every range is skipped: then there is nothing left to talk about.
  [[nodiscard]] const std::optional<Frontier>& frontier() const { return frontier_; }
  std::string Take() && { return std::move(writer_).Take(); }

 private:
  void AddBuckets(size_t from, size_t to, const Bound& upper);
  void CloseWithRest(size_t from);

  const ItemView& view_;
  const size_t soft_limit_;
  RangeWriter writer_;
  std::optional<Frontier> frontier_;
  bool full_ = false;
};

void Message::Describe(size_t from, size_t to, const Bound& upper) {
  const auto mark = writer_.mark();
  const bool listed = to - from < kListBelow;
  if (listed) {
    writer_.AddIdList(upper, view_, from, to);
  } else {
    AddBuckets(from, to, upper);
  }
  if (writer_.size() > soft_limit_) {
    writer_.Rollback(mark);
    CloseWithRest(from);
  } else if (!frontier_) {
    frontier_ = {from, listed ? to - from : (to - from + kBuckets - 1) / kBuckets, listed};
  }
}

void Message::AddBuckets(size_t from, size_t to, const Bound& upper) {
  const size_t smaller = (to - from) / kBuckets;
  const size_t larger_ones = (to - from) % kBuckets;
  for (size_t bucket = 0, begin = from; bucket < kBuckets; ++bucket) {
    const size_t end = begin + smaller + (bucket < larger_ones ? 1 : 0);
    const Bound bound = end == to ? upper : Bound::Between(view_.At(end - 1), view_.At(end));
    writer_.AddFingerprint(bound, view_.FingerprintOf(begin, end));
    begin = end;
  }
}

void Message::List(size_t from, size_t to, const Bound& upper) {
  const size_t room = (soft_limit_ - writer_.size()) / kIdBytes + 1;
  if (to - from > room) {
    const size_t cut = from + room;
    writer_.AddIdList(Bound::At(view_.At(cut)), view_, from, cut);
    CloseWithRest(cut);
    return;
  }
  writer_.AddIdList(upper, view_, from, to);
  if (writer_.size() <= soft_limit_) return;
  full_ = true;
  if (upper.item.created_at != kInfinity) CloseWithRest(to);
}

void Message::CloseWithRest(size_t from) {
  full_ = true;
  if (!frontier_) frontier_ = {from, view_.size() - from, false};
  writer_.AddFingerprint(Bound::Infinity(), view_.FingerprintOf(from, view_.size()));
}

/// Answers the ranges of a received message (without its version byte), which both sides do alike
/// but for id lists: `on_ids(from, to, range)`. A malformed message is refused even where an answer
/// that is full already would not look at it.
template <typename OnIds>
absl::Status AnswerRanges(const ItemView& view, std::string_view ranges, Message& answer,
                          Round& round, OnIds on_ids) {
  RangeReader reader(ranges);
  Item lower;
  size_t from = 0, read = 0;
  while (!reader.done()) {
    GRASPD_ASSIGN_OR_RETURN(const Range range, reader.Next());
    round.work += ++read % kRangesPerWork == 0 ? 1 : 0;
    if (answer.full()) continue;
    const size_t to = view.LowerBound(from, range.upper.item);
    const bool listed = range.mode == Mode::kIdList;
    if (range.mode == Mode::kFingerprint) round.work += kFingerprintWork;
    if (range.mode == Mode::kSkip ||
        (!listed && view.FingerprintOf(from, to) == range.fingerprint)) {
      answer.Skip(range.upper);
    } else {
      if (!round.open) round.open = {lower, to - from, listed};
      if (listed) {
        GRASPD_RETURN_IF_ERROR(on_ids(from, to, range));
      } else {
        round.work += to - from < kListBelow ? 1 : kBuckets * kFingerprintWork;
        answer.Describe(from, to, range.upper);
      }
    }
    lower = range.upper.item;
    from = to;
  }
  return absl::OkStatus();
}

/// Hashed with abseil's salt, which a peer that chooses the ids does not know.
using Id = std::array<uint8_t, kIdBytes>;

Id ReadId(std::string_view ids, size_t at) {
  Id id;
  std::copy_n(ids.begin() + static_cast<ptrdiff_t>(at), id.size(), id.begin());
  return id;
}

enum class Version { kOurs, kOther };

absl::StatusOr<Version> CheckEnvelope(std::string_view message, const ReconcileLimits& limits) {
  if (message.size() > limits.max_message_bytes) {
    return absl::InvalidArgumentError("message too long");
  }
  if (message.empty()) return absl::InvalidArgumentError("empty message");
  const auto version = static_cast<uint8_t>(message[0]);
  if (version == kProtocolVersion) return Version::kOurs;
  if ((version & 0xf0) == 0x60) return Version::kOther;
  return absl::InvalidArgumentError("not a negentropy message");
}

}  // namespace

Responder::Responder(std::shared_ptr<const ItemView> set, ReconcileLimits limits)
    : set_(std::move(set)), limits_(limits) {}

absl::StatusOr<std::string> Responder::Answer(std::string_view message, Round* round) const {
  Round unwanted;
  Round& asked = round != nullptr ? *round : unwanted;
  asked = {.work = kMessageWork};
  GRASPD_ASSIGN_OR_RETURN(const Version version, CheckEnvelope(message, limits_));
  Message answer(*set_, limits_.frame_bytes);
  if (version == Version::kOurs) {
    const auto list_ours = [&](size_t from, size_t to, const Range& range) {
      answer.List(from, to, range.upper);
      return absl::OkStatus();
    };
    GRASPD_RETURN_IF_ERROR(AnswerRanges(*set_, message.substr(1), answer, asked, list_ours));
  }
  std::string out = std::move(answer).Take();
  asked.work += (message.size() + out.size()) / kBytesPerWork;
  return out;
}

bool AskerProgress::Continues(const Round& round) {
  bool moved = false;
  if (const auto& open = round.open) {
    moved = !best_ || open->lower > best_->lower;
    if (!moved && open->lower == best_->lower) {
      const bool halved = open->count < best_->count && open->count <= best_->count / 2;
      moved = halved || (open->listed && !best_->listed);
    }
    if (moved) best_ = open;
  }
  idle_rounds_ = moved ? 0 : idle_rounds_ + 1;
  return idle_rounds_ <= kMaxIdleRounds;
}

struct Initiator::State {
  std::shared_ptr<const ItemView> set;
  ReconcileLimits limits;
  size_t max_ids;

  bool open = false;
  Frontier best{};  // furthest of all rounds
  int idle_rounds = 0;
  size_t rounds = 0, reply_bytes = 0, work = 0;
  size_t sent = 0;                 // bytes of our latest message
  size_t frame = 0;                // of the next one, at most
  size_t had = 0;                  // reported as `have`...
  std::vector<bool> reported;      // ...by their positions; empty before the first list
  absl::flat_hash_set<Id> needed;  // reported as `need`
  absl::flat_hash_set<Id> theirs;  // of the list at hand; kept for its memory

  absl::StatusOr<Step> Continue(std::string_view reply);
  absl::Status Learn(size_t from, size_t to, std::string_view ids, Step& step);
  absl::Status CheckProgress(const Frontier& frontier, bool new_ids);
  void FitFrame(size_t reply_size);
  [[nodiscard]] size_t items() const { return set->size() + needed.size(); }
};

// The peer's whole list for a range in which our items are [from, to).
absl::Status Initiator::State::Learn(size_t from, size_t to, std::string_view ids, Step& step) {
  theirs.clear();
  for (size_t at = 0; at < ids.size(); at += kIdBytes) theirs.insert(ReadId(ids, at));
  reported.resize(set->size());
  for (size_t i = from; i < to; ++i) {
    const auto id = set->At(i).id;
    if (theirs.erase(id.bytes) != 0 || reported[i]) continue;
    reported[i] = true;
    if (++had + needed.size() > max_ids) return absl::ResourceExhaustedError("too many ids differ");
    step.have.push_back(id);
  }
  // In the order of the message, not of the hash table: simulations repeat exactly.
  for (size_t at = 0; at < ids.size(); at += kIdBytes) {
    const Id id = ReadId(ids, at);
    if (theirs.erase(id) == 0 || !needed.insert(id).second) continue;
    if (had + needed.size() > max_ids) return absl::ResourceExhaustedError("too many ids differ");
    step.need.push_back(nostr::EventId{id});
  }
  return absl::OkStatus();
}

absl::Status Initiator::State::CheckProgress(const Frontier& frontier, bool new_ids) {
  const bool moved = frontier.IsBeyond(best);
  if (moved) best = frontier;
  idle_rounds = moved || new_ids ? 0 : idle_rounds + 1;
  if (idle_rounds <= kMaxIdleRounds) return absl::OkStatus();
  return absl::FailedPreconditionError("the peer makes no progress");
}

// A peer with much shorter frames than ours answers the beginning of our message, and the rest of
// it was in vain. Where little differs a reply is a little shorter, too.
void Initiator::State::FitFrame(size_t reply_size) {
  if (limits.frame_bytes == 0) return;
  frame = 2 * reply_size < sent ? std::min(frame, reply_size) : std::max(frame, 2 * reply_size);
  frame = std::clamp(frame, std::min(kMinFrame, limits.frame_bytes), limits.frame_bytes);
}

absl::StatusOr<Initiator::Step> Initiator::State::Continue(std::string_view reply) {
  GRASPD_ASSIGN_OR_RETURN(const Version version, CheckEnvelope(reply, limits));
  if (version == Version::kOther) {
    return absl::UnimplementedError("the peer speaks another negentropy version");
  }
  Step step;
  FitFrame(reply.size());
  Message next(*set, frame);
  size_t listed = 0;
  const auto learn = [&](size_t from, size_t to, const Range& range) {
    next.Skip(range.upper);
    listed += to - from + range.ids.size() / kIdBytes;
    return Learn(from, to, range.ids, step);
  };
  Round round;
  GRASPD_RETURN_IF_ERROR(AnswerRanges(*set, reply.substr(1), next, round, learn));
  ++rounds;
  reply_bytes += reply.size();
  work += kMessageWork + round.work + listed / kIdsPerWork + reply.size() / kBytesPerWork;
  if (!next.frontier()) return step;
  if (rounds > MaxRounds(items()) || reply_bytes > MaxReplyBytes(items()) ||
      work > MaxWork(items())) {
    return absl::ResourceExhaustedError("the peer goes on without end");
  }
  GRASPD_RETURN_IF_ERROR(CheckProgress(*next.frontier(), !step.have.empty() || !step.need.empty()));
  step.message = std::move(next).Take();
  sent = step.message.size();
  return step;
}

Initiator::Initiator(std::shared_ptr<const ItemView> set, ReconcileLimits limits, size_t max_ids)
    : state_(std::make_unique<State>()) {
  state_->set = std::move(set);
  state_->limits = limits;
  state_->frame = limits.frame_bytes;
  state_->max_ids = max_ids;
}
Initiator::Initiator(Initiator&&) noexcept = default;
Initiator& Initiator::operator=(Initiator&&) noexcept = default;
Initiator::~Initiator() = default;

std::string Initiator::Start() {
  Message first(*state_->set, state_->limits.frame_bytes);
  first.Describe(0, state_->set->size(), Bound::Infinity());
  state_->best = *first.frontier();
  state_->open = true;
  std::string message = std::move(first).Take();
  state_->sent = message.size();
  return message;
}

size_t Initiator::items() const { return state_->items(); }
size_t Initiator::work() const { return state_->work; }

absl::StatusOr<Initiator::Step> Initiator::Continue(std::string_view reply) {
  if (!state_->open) return absl::FailedPreconditionError("no session is open");
  auto step = state_->Continue(reply);
  state_->open = step.ok() && !step->message.empty();
  return step;
}

}  // namespace graspd::negentropy
