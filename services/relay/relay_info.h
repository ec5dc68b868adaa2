#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "ingest/policy/policy.h"

namespace graspd::relay {

/// The NIPs that the relay port speaks, as NIP-11 lists them.
inline constexpr std::array<uint32_t, 9> kSupportedNips = {1, 9, 11, 34, 40, 42, 45, 70, 77};

/// What the relay tells about itself: NIP-11 and the landing page. Empty texts are left out.
struct RelayInfo {
  std::string name = "graspd";
  std::string description;
  std::string contact;   // a URI: mailto:, https:
  std::string pubkey;    // the operator's, 64 hex digits
  std::string self;      // the relay's own, 64 hex digits
  std::string url;       // where clients find us: wss://relay.example
  std::string software;  // a URL of the project, as NIP-11 wants it
  std::string version;
  ingest::PolicyMode mode = ingest::PolicyMode::kGrasp;
  bool sync_enabled = true;         // GRASP-02 is at work
  bool operator_chooses = false;    // which repositories, by the lists of the policy
  bool blacklists = false;          // the policy's blacklists have entries
  bool git_service_beside = false;  // the operator runs a GRASP-01 git server on the same host
};

}  // namespace graspd::relay
