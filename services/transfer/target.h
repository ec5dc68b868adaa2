#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "nostr/event.h"

namespace graspd::transfer {

/// Where imported events go. Threading: one thread, that of the Importer, where the answers come
/// too.
class Target {
 public:
  enum class Verdict : uint8_t {
    kStored,
    kKnown,    // stored already, or a newer version is
    kRefused,  // for good, as far as the target can tell
    kFailed    // the target can take nothing now
  };
  struct Answer {
    uint64_t ticket = 0;
    Verdict verdict = Verdict::kStored;
    std::string message;  // of kRefused and kFailed, with its NIP-01 prefix
  };
  /// Never called from within Submit.
  using OnAnswers = std::function<void(std::span<const Answer>)>;

  virtual ~Target() = default;
  /// Before the first Submit.
  virtual void SetOnAnswers(OnAnswers on_answers) = 0;
  /// Each event is answered once, in no particular order. `json` is its canonical JSON.
  virtual void Submit(uint64_t ticket, nostr::Event event, const std::string& json) = 0;
  /// False: wait for answers. Never while nothing is in flight.
  [[nodiscard]] virtual bool HasRoom() const = 0;
  /// Nothing more will be submitted, and answers that take long are not worth waiting for.
  virtual void Hurry() {}
};

}  // namespace graspd::transfer
