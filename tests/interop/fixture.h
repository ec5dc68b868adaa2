// What others wrote, installed by tools/install_interop.sh.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/e2e/support.h"

namespace graspd::e2e {

inline constexpr char kNode[] = INTEROP_CLIENTS "/node/node";
/// Makes Node.js look for modules beside the link to a script.
inline constexpr char kBesideTheLink[] = "--preserve-symlinks-main";
inline constexpr char kPython[] = INTEROP_CLIENTS "/python/bin/python";
inline constexpr char kGoNostr[] = INTEROP_CLIENTS "/go_nostr";
/// Keeps compiled files out of the sources.
inline constexpr char kNoBytecode[] = "-B";

/// The path of a script of this folder.
inline std::string NodeScript(const std::string& name) {
  return std::string(INTEROP_CLIENTS "/node/") + name;
}
inline std::string PythonScript(const std::string& name) {
  return std::string(INTEROP_SCRIPTS "/") + name;
}

/// Skips the test if the software is not installed, or fails it where it is required.
inline void RequireInteropSoftware() {
  // Written last, when everything is there.
  if (access(INTEROP_CLIENTS "/installed", R_OK) == 0) return;
  constexpr char kHow[] = "tools/install_interop.sh installs what these tests need";
  if (InteropIsRequired()) FAIL() << kHow;
  GTEST_SKIP() << kHow;
}

}  // namespace graspd::e2e
