#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace graspd::storage {

/// Records what this process writes to one file and when it syncs it, and tells what a disk may
/// hold of that after a loss of power: everything that a sync has confirmed, and of each later
/// sector any state that it went through, in no order with other sectors.
///
/// Sees pwrite, write, writev, fdatasync and fsync, of libraries too: linked into a test, it takes
/// their place for the whole program. A write through a descriptor with O_DSYNC is confirmed
/// itself, but confirms no other. Threading: one at a time, made and used by the thread that
/// writes.
class RecordedDisk {
 public:
  static constexpr size_t kSector = 512;  // written whole or not at all

  /// Begins with what the file at `path` holds; all of that counts as confirmed.
  explicit RecordedDisk(const std::string& path);
  ~RecordedDisk();
  RecordedDisk(const RecordedDisk&) = delete;
  RecordedDisk& operator=(const RecordedDisk&) = delete;

  /// Notes at this point of the record that `number` has been acknowledged.
  void Acknowledge(uint64_t number);

  /// The record's length so far: writes, syncs and acknowledgements.
  [[nodiscard]] size_t steps() const { return steps_.size(); }
  [[nodiscard]] std::set<uint64_t> AcknowledgedIn(size_t steps) const;
  /// The file after power was lost when so many steps had been made and the next was under way.
  [[nodiscard]] std::string AfterPowerLoss(size_t steps, base::Random& random) const;

  // For the functions that take libc's place.
  [[nodiscard]] bool IsOurs(int fd) const;
  void Wrote(int fd, uint64_t offset, std::string_view bytes);
  void Synced();

 private:
  struct Step {
    enum class Type { kWrite, kConfirmedWrite, kSync, kAcknowledge } type;
    uint64_t offset = 0;  // of a write; the number of an acknowledgement
    std::string bytes;
  };

  std::string first_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::vector<Step> steps_;
};

}  // namespace graspd::storage
