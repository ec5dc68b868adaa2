// The bytes that wait to be sent on connections, and who has some.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace graspd::net {

/// Blocks of kChunk bytes that connections borrow while they have something to send: an idle
/// connection owns no output memory. Keeps at most kKept unused blocks. Thread-compatible.
class ChunkPool {
 public:
  static constexpr size_t kChunk = 2048;
  static constexpr size_t kKept = 2048;

  ChunkPool() = default;
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  [[nodiscard]] char* Take();
  void Give(char* chunk);

 private:
  std::vector<char*> unused_;
};

/// A queue of bytes. Little is in one piece, so that one send() takes all of it: a borrowed chunk
/// that grows by doubling. Past kPiece more pieces are added instead, so that nothing is copied:
/// the queues of all who read too slowly grow at the same time.
/// Thread-compatible. Lifetime: the pool outlives it.
class OutputBuffer {
 public:
  static constexpr size_t kPiece = 64 << 10;

  explicit OutputBuffer(ChunkPool& pool) : pool_(pool) {}
  ~OutputBuffer() { Release(); }
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;

  [[nodiscard]] size_t size() const { return earlier_bytes_ + last_.size(); }
  /// The first bytes; all of them unless there are more than kPiece. Empty only if there are none.
  [[nodiscard]] std::string_view front() const;

  /// Room for `bytes` behind the last byte, valid until the next call; Commit() makes them count.
  [[nodiscard]] char* Prepare(size_t bytes);
  void Commit(size_t bytes) { last_.end += bytes; }
  /// Drops the first `bytes`, at most what front() has.
  void Consume(size_t bytes);
  /// Forgets what is left and gives the memory back.
  void Release();

 private:
  struct Piece {
    [[nodiscard]] size_t size() const { return end - begin; }
    char* memory = nullptr;
    size_t capacity = 0, begin = 0, end = 0;
  };
  void Free(const Piece& piece);

  ChunkPool& pool_;
  std::vector<Piece> earlier_;  // full, and not empty
  size_t earlier_bytes_ = 0;
  Piece last_;
};

/// Connections of one thread with something to send at the end of this turn of the event loop.
/// Thread-compatible.
class FlushQueue {
 public:
  class Member {
   public:
    virtual void Flush() = 0;

   protected:
    ~Member() = default;
  };

  /// Queues `member`, which is not queued now. True if the caller has to see to it that FlushAll()
  /// runs behind everything that is already ready to run.
  [[nodiscard]] bool Add(Member& member);
  /// Forgets a member that dies.
  void Remove(Member& member);
  /// Flushes everybody. Members may be added or removed meanwhile.
  void FlushAll();

 private:
  std::vector<Member*> members_;
};

/// Writes the header of an unmasked, unfragmented WebSocket frame (RFC 6455, 5.2) with `payload`
/// bytes to `out`; returns its length.
inline constexpr size_t kMaxFrameHeader = 10;
inline constexpr size_t kMaxControlPayload = 125;
inline constexpr uint8_t kTextOpcode = 0x1, kCloseOpcode = 0x8, kPingOpcode = 0x9,
                         kPongOpcode = 0xa;
size_t WriteFrameHeader(uint8_t opcode, size_t payload, char* out);

}  // namespace graspd::net
