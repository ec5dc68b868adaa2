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

std::string_view OutputBuffer::front() const {
  const Piece& piece = earlier_.empty() ? last_ : earlier_.front();
  return {piece.memory + piece.begin, piece.size()};
}

char* OutputBuffer::Prepare(size_t bytes) {
  if (last_.memory != nullptr && last_.capacity - last_.end >= bytes) {
    return last_.memory + last_.end;
  }
  const size_t used = last_.size();
  // What was sent may leave enough room, if little has to move.
  if (last_.begin != 0 && used <= kPiece && last_.capacity - used >= bytes) {
    std::memmove(last_.memory, last_.memory + last_.begin, used);
    last_.begin = 0;
    last_.end = used;
    return last_.memory + used;
  }
  Piece grown;
  const bool apart = used != 0 && used + bytes > kPiece;
  const size_t needed = apart ? kPiece : std::min(2 * last_.capacity, kPiece);
  grown.capacity = std::max({ChunkPool::kChunk, needed, apart ? bytes : used + bytes});
  grown.memory = grown.capacity == ChunkPool::kChunk ? pool_.Take() : new char[grown.capacity];
  if (apart) {
    earlier_.push_back(last_);
    earlier_bytes_ += used;
  } else {
    if (used != 0) std::memcpy(grown.memory, last_.memory + last_.begin, used);
    grown.end = used;
    Free(last_);
  }
  last_ = grown;
  return last_.memory + last_.end;
}

void OutputBuffer::Consume(size_t bytes) {
  if (earlier_.empty()) {
    last_.begin += bytes;
    return;
  }
  Piece& piece = earlier_.front();
  piece.begin += bytes;
  earlier_bytes_ -= bytes;
  if (piece.size() != 0) return;
  Free(piece);
  earlier_.erase(earlier_.begin());
}

void OutputBuffer::Release() {
  for (const Piece& piece : earlier_) Free(piece);
  earlier_ = {};
  earlier_bytes_ = 0;
  Free(last_);
  last_ = {};
}

void OutputBuffer::Free(const Piece& piece) {
  if (piece.capacity == ChunkPool::kChunk) {
    pool_.Give(piece.memory);
  } else {
    delete[] piece.memory;
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
