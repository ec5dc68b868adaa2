#include "tests/conformance/recorded_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

namespace graspd::storage {
namespace {

std::atomic<RecordedDisk*> recorder{nullptr};

/// The one that records this descriptor's file, if any.
RecordedDisk* RecorderOf(int fd) {
  RecordedDisk* disk = recorder.load();
  return disk != nullptr && disk->IsOurs(fd) ? disk : nullptr;
}

void Overwrite(std::string& image, uint64_t offset, std::string_view bytes) {
  if (image.size() < offset + bytes.size()) image.resize(offset + bytes.size(), '\0');
  std::copy(bytes.begin(), bytes.end(), image.begin() + static_cast<ptrdiff_t>(offset));
}

}  // namespace

RecordedDisk::RecordedDisk(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  first_.assign(std::istreambuf_iterator<char>(file), {});
  struct stat status {};
  if (!file || stat(path.c_str(), &status) != 0) std::abort();
  device_ = status.st_dev;
  inode_ = status.st_ino;
  recorder = this;
}

RecordedDisk::~RecordedDisk() { recorder = nullptr; }

bool RecordedDisk::IsOurs(int fd) const {
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

void RecordedDisk::Wrote(int fd, uint64_t offset, std::string_view bytes) {
  const bool confirmed = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
  steps_.push_back(
      {confirmed ? Step::Type::kConfirmedWrite : Step::Type::kWrite, offset, std::string(bytes)});
}

void RecordedDisk::Synced() { steps_.push_back({Step::Type::kSync, 0, {}}); }

void RecordedDisk::Acknowledge(uint64_t number) {
  steps_.push_back({Step::Type::kAcknowledge, number, {}});
}

std::set<uint64_t> RecordedDisk::AcknowledgedIn(size_t steps) const {
  std::set<uint64_t> numbers;
  for (size_t i = 0; i < steps; ++i) {
    if (steps_[i].type == Step::Type::kAcknowledge) numbers.insert(steps_[i].offset);
  }
  return numbers;
}

std::string RecordedDisk::AfterPowerLoss(size_t steps, base::Random& random) const {
  std::string image = first_;
  // Of each sector, what was written to it since the last sync, oldest first.
  std::map<uint64_t, std::vector<std::pair<uint64_t, std::string_view>>> open;
  const auto write = [&](const Step& step) {
    const std::string_view bytes = step.bytes;
    for (uint64_t done = 0; done < bytes.size();) {
      const uint64_t at = step.offset + done;
      const uint64_t part = std::min(kSector - at % kSector, bytes.size() - done);
      open[at / kSector].emplace_back(at, bytes.substr(done, part));
      done += part;
    }
  };
  for (size_t i = 0; i < steps; ++i) {
    const Step& step = steps_[i];
    switch (step.type) {
      case Step::Type::kWrite:
        write(step);
        break;
      case Step::Type::kConfirmedWrite:
        Overwrite(image, step.offset, step.bytes);
        break;
      case Step::Type::kSync:
        for (const auto& [sector, writes] : open) {
          for (const auto& [at, bytes] : writes) Overwrite(image, at, bytes);
        }
        open.clear();
        break;
      case Step::Type::kAcknowledge:
        break;
    }
  }
  if (steps < steps_.size() && !steps_[steps].bytes.empty()) write(steps_[steps]);
  // Nothing, everything, or each sector as it was at some moment.
  const uint64_t mood = random.Below(4);
  for (const auto& [sector, writes] : open) {
    const size_t kept = mood == 0   ? 0
                        : mood == 1 ? writes.size()
                                    : static_cast<size_t>(random.Below(writes.size() + 1));
    for (size_t i = 0; i < kept; ++i) Overwrite(image, writes[i].first, writes[i].second);
  }
  return image;
}

}  // namespace graspd::storage

// ---- in place of libc's ------------------------------------------------------------------------

using graspd::storage::RecorderOf;

extern "C" ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  const ssize_t done = syscall(SYS_pwrite64, fd, bytes, size, offset);
  if (auto* disk = RecorderOf(fd); disk != nullptr && done > 0) {
    disk->Wrote(fd, static_cast<uint64_t>(offset),
                {static_cast<const char*>(bytes), static_cast<size_t>(done)});
  }
  return done;
}

extern "C" ssize_t writev(int fd, const iovec* parts, int count) {
  const ssize_t done = syscall(SYS_writev, fd, parts, count);
  if (auto* disk = RecorderOf(fd); disk != nullptr && done > 0) {
    std::string bytes;
    for (int i = 0; i < count; ++i) {
      bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    }
    bytes.resize(static_cast<size_t>(done));
    disk->Wrote(fd, static_cast<uint64_t>(lseek(fd, 0, SEEK_CUR) - done), bytes);
  }
  return done;
}

extern "C" ssize_t write(int fd, const void* bytes, size_t size) {
  const iovec part{const_cast<void*>(bytes), size};
  return writev(fd, &part, 1);
}

extern "C" int fdatasync(int fd) {
  const int failed = static_cast<int>(syscall(SYS_fdatasync, fd));
  if (auto* disk = RecorderOf(fd); disk != nullptr && failed == 0) disk->Synced();
  return failed;
}

extern "C" int fsync(int fd) {
  const int failed = static_cast<int>(syscall(SYS_fsync, fd));
  if (auto* disk = RecorderOf(fd); disk != nullptr && failed == 0) disk->Synced();
  return failed;
}
