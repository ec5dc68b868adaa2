#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "graspd/admin/v1/discovery_service.pb.h"
#include "graspd/admin/v1/remote_service.pb.h"

namespace graspd::e2e {

/// The admin API, as a program uses it. Errors throw std::runtime_error.
class AdminClient {
 public:
  explicit AdminClient(std::string address) : address_(std::move(address)) {}

  /// The remote of that URL; without a URL if there is none.
  [[nodiscard]] admin::v1::Remote Find(const std::string& url) const;
  /// All of them, by pages.
  [[nodiscard]] std::vector<admin::v1::Remote> Remotes() const;
  /// By URL.
  [[nodiscard]] std::map<std::string, admin::v1::Candidate> Candidates() const;
  [[nodiscard]] bool IsLive(const std::string& url) const;
  /// The candidate of that URL; without a URL if there is none.
  [[nodiscard]] admin::v1::Candidate FindCandidate(const std::string& url) const;
  void Pause(const std::string& url) const;
  void Resume(const std::string& url) const;

 private:
  const std::string address_;
};

}  // namespace graspd::e2e
