#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <vector>

#include "base/mutex.h"

namespace graspd::admin {

/// A call that stays open: a health watch or a reflection stream.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  /// Something may have changed: look, and tell the client if so. Thread-safe, does not block.
  virtual void Poke() = 0;
  /// The server stops: end the stream. Thread-safe, does not block.
  virtual void Stop() = 0;
};

/// The open streams of a server, at most `capacity`. Thread-safe. A stream may be poked or stopped
/// once more right after it was removed.
class StreamSet {
 public:
  explicit StreamSet(size_t capacity) : capacity_(capacity) {}

  /// False if the set is full or stopped; the stream is then to be refused.
  [[nodiscard]] bool Add(std::shared_ptr<OpenStream> stream);
  void Remove(const std::shared_ptr<OpenStream>& stream);
  void PokeAll();
  /// Stops every stream; from now on Add refuses.
  void StopAll();
  [[nodiscard]] size_t size() const;

 private:
  // Streams are called without the lock: ending one removes it from here.
  std::vector<std::shared_ptr<OpenStream>> Snapshot() const;

  const size_t capacity_;
  mutable base::Mutex mutex_;
  std::set<std::shared_ptr<OpenStream>> streams_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace graspd::admin
