#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nostr/keys.h"

namespace graspd::daemon {

/// The secret key in the file at `path`: 64 hex digits or an nsec, and nothing else but white
/// space. Where there is no file, a new key is written there, readable by the owner alone, and on
/// disk when this returns. Errors: kInvalidArgument if the file holds no key (its text is never
/// repeated), kUnavailable if it cannot be read or made.
absl::StatusOr<nostr::SecretKey> ReadOrMakeKey(const std::string& path);

}  // namespace graspd::daemon
