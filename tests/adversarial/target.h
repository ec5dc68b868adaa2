// The relay under attack, and how to tell that it has not suffered.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "net/test_support.h"
#include "nostr/event.h"
#include "tests/e2e/support.h"

namespace graspd::adversarial {

/// What the daemon may use more in the end than in the beginning; so many times longer than it
/// should take anything may take here; and seconds by which the 99th percentile of answers may be
/// later on a busy machine, whatever the attack.
#ifdef NDEBUG
inline constexpr double kMoreMemory = 40 << 20;  // 32 and what 5,000 leave in arenas
inline constexpr double kSlower = 1;
#else  // not optimised, or with a sanitizer, where freed memory stays for a while
inline constexpr double kMoreMemory = 512 << 20;
inline constexpr double kSlower = 60;
#endif
#ifdef __SANITIZE_ADDRESS__
inline constexpr int kShare = 10;
#else
inline constexpr int kShare = 1;
#endif
/// The size of an attack: a tenth of `full` with a sanitizer.
constexpr int Scaled(int full) { return full / kShare; }

inline constexpr uint8_t kText = 0x81, kBinary = 0x82, kClose = 0x88, kPing = 0x89, kPong = 0x8a;

/// A graspd with a store in memory, unless the flags say another, that takes every valid event,
/// without sync and without limits on one address or on rates.
class Target {
 public:
  /// `launcher` is put before the command, as of `prlimit`.
  explicit Target(const std::vector<std::string>& flags = {},
                  const std::vector<std::string>& launcher = {});

  [[nodiscard]] net::SocketAddress relay() const;
  [[nodiscard]] std::string relay_url() const { return graspd_->relay_url(); }
  [[nodiscard]] std::string ops() const { return graspd_->ops(); }
  [[nodiscard]] std::string admin() const { return graspd_->admin(); }
  /// The value of a metric without labels, or of `name{labels}`.
  [[nodiscard]] double Metric(const std::string& name) const;

  /// What holds after every attack: the process is alive and ready and soon sheds nothing, a fresh
  /// client can publish an event and read it back within two seconds, memory is near what it was,
  /// metrics have not multiplied, and the log is short.
  void ExpectHealthy() const;

  /// An event with so many bytes of content, different at each call.
  [[nodiscard]] static nostr::Event MakeEvent(size_t content_bytes = 10);

 private:
  e2e::TempDir dir_;
  std::unique_ptr<e2e::Graspd> graspd_;
  double resident_at_start_ = 0;
};

/// A client that has upgraded.
[[nodiscard]] std::unique_ptr<net::RawClient> WebSocketClient(const Target& target,
                                                              int receive_buffer = 0);

/// Seconds, from a moment that does not matter.
[[nodiscard]] double Now();
/// The 99th percentile, by nearest rank: so many percent are no longer.
[[nodiscard]] double P99(std::vector<double> times);
/// The one in the middle, which a single hiccup of the machine does not move.
[[nodiscard]] double Median(std::vector<double> times);
/// Puts a time into the test's record (--gtest_output) and on standard output.
void RecordMillis(const std::string& name, double seconds);

}  // namespace graspd::adversarial
