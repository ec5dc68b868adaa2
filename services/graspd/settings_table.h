// The one table of settings. Everything else about a setting (flag, variable, TOML key, help,
// reference page, dump) follows from its row.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/graspd/settings.h"

namespace graspd::daemon {

/// A value as its source gave it, before the table says what it should be.
struct RawValue {
  enum class Kind : uint8_t {
    kText,  // of a flag or variable: may stand for anything
    kString,
    kInteger,
    kFloat,
    kBoolean,
    kArray,  // of strings or whole numbers
    kOther   // something in a file that no setting takes
  };
  Kind kind = Kind::kText;
  std::string text;                // of a scalar, as written; for kArray a display form
  std::vector<std::string> items;  // of kArray
};

/// One row.
struct SettingSpec {
  std::string_view name;  // dotted
  std::string_view help;
  std::string allowed;            // what a value may be; completes "must be ..."
  std::string_view default_note;  // what the reference says instead of the default's bare value
  bool list = false;

  /// Parses and stores. Errors: kInvalidArgument, changing nothing, if the value is not allowed;
  /// the message is empty or says more than `allowed` does.
  std::function<absl::Status(const RawValue&, Settings&)> set;
  std::function<std::string(const Settings&)> toml;  // the present value as TOML

  [[nodiscard]] std::string Flag() const;      // --sync-allow-cidrs
  [[nodiscard]] std::string Variable() const;  // GRASPD_SYNC_ALLOW_CIDRS
};

/// All rows, in the order of the reference page: those of one section stand together.
const std::vector<SettingSpec>& SettingTable();

}  // namespace graspd::daemon
