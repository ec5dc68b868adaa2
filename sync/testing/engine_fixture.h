// What the engine's tests share: a simulation and the names in it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/log.h"
#include "sync/testing/simulation.h"

namespace graspd::sync::testing {

inline constexpr char kA[] = "wss://a.example";
inline constexpr char kB[] = "wss://b.example";
inline constexpr uint64_t kLongAgo = 1'600'000'000;  // outside every reconnect window
inline const auto kRepo = Repo("alice", "tool");

inline std::string Host(int i) { return "wss://r" + std::to_string(i) + ".example"; }

/// Sets options_, then begins.
class SyncEngineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    base::ConfigureLog(base::LogLevel::kError, base::LogFormat::kText);
  }

  Simulation& Begin() {
    sim_ = std::make_unique<Simulation>(options_);
    return *sim_;
  }
  // Begins with a live connection to `url`, named by kRepo's announcement.
  Simulation& BeginLive(const std::string& url = kA) {
    auto& sim = Begin();
    sim.StoredBefore(Announcement(kRepo, kLongAgo, {url}));
    sim.Start();
    sim.RunFor(std::chrono::seconds(10));
    EXPECT_EQ(sim.State(url), RemoteState::kLive);
    return sim;
  }
  [[nodiscard]] uint64_t UnixNow() const { return sim_->now().unix_seconds; }

  EngineOptions options_;
  std::unique_ptr<Simulation> sim_;
};

}  // namespace graspd::sync::testing
