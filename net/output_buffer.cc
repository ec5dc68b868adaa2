#include "net/output_buffer.h"

#include <algorithm>
#include <cstring>

namespace graspd::net {

ChunkPool::~ChunkPool() {
  for (char* chunk : unused_) delete[] chunk;
}

char* ChunkPool::Take() {
  if (unused_.empty()) return new char[kChunk];
  char* chunk = unused_.back();
  unused_.pop_back();
  return chunk;
}

void ChunkPool::Give(char* chunk) {
  if (unused_.size() < kKept) {
    unused_.push_back(chunk);
  } else {
    delete[] chunk;
  }
}

char* OutputBuffer::Prepare(size_t bytes) {
  if (memory_ != nullptr && capacity_ - end_ >= bytes) return memory_ + end_;
  const size_t used = size();
  if (begin_ != 0 && capacity_ - used >= bytes) {  // what was sent leaves enough room in front
    std::memmove(memory_, memory_ + begin_, used);
  } else {
    const size_t capacity = std::max({ChunkPool::kChunk, 2 * capacity_, used + bytes});
    char* memory = capacity == ChunkPool::kChunk ? pool_.Take() : new char[capacity];
    if (used != 0) std::memcpy(memory, memory_ + begin_, used);
    Free();
    memory_ = memory;
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = used;
  return memory_ + end_;
}

void OutputBuffer::Release() {
  Free();
  memory_ = nullptr;
  capacity_ = begin_ = end_ = 0;
}

void OutputBuffer::Free() {
  if (capacity_ == ChunkPool::kChunk) {
    pool_.Give(memory_);
  } else {
    delete[] memory_;
  }
}

bool FlushQueue::Add(Member& member) {
  members_.push_back(&member);
  return members_.size() == 1;
}

void FlushQueue::Remove(Member& member) {
  std::replace(members_.begin(), members_.end(), &member, static_cast<Member*>(nullptr));
}

void FlushQueue::FlushAll() {
  for (size_t i = 0; i < members_.size(); ++i) {  // by index: members_ may grow
    if (Member* member = members_[i]) member->Flush();
  }
  members_.clear();
}

size_t WriteFrameHeader(uint8_t opcode, size_t payload, char* out) {
  constexpr uint8_t kFinal = 0x80;
  out[0] = static_cast<char>(kFinal | opcode);
  if (payload < 126) {
    out[1] = static_cast<char>(payload);
    return 2;
  }
  const int length_bytes = payload < 65536 ? 2 : 8;
  out[1] = length_bytes == 2 ? 126 : 127;
  for (int i = 0; i < length_bytes; ++i) {
    out[2 + i] = static_cast<char>(static_cast<uint64_t>(payload) >> (8 * (length_bytes - 1 - i)));
  }
  return static_cast<size_t>(2 + length_bytes);
}

}  // namespace graspd::net
