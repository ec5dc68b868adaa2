// Structured log to standard error: one line an event, as text for people or JSON for collectors.
//
//   base::LogInfo("sync", "remote connected", {{"remote", url}, {"attempt", 3}});
//
// Values are escaped and cut at 256 bytes: relay URLs and error texts come from strangers. A line
// is always valid UTF-8, what is not becoming U+FFFD. Event content is never logged. Thread-safe.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace graspd::base {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat { kText, kJson };

/// One key and its value in a log line.
struct LogField {
  template <typename T>
  requires std::convertible_to<T, std::string_view> LogField(std::string_view k, const T& v)
      : key(k), value(std::string_view(v)), quoted(true) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), quoted(false) {}
  template <typename T>
  requires std::integral<T> LogField(std::string_view k, T v)
      : key(k), value(std::to_string(v)), quoted(false) {}
  /// JSON has no number for infinities and NaN: they become strings.
  template <typename T>
  requires std::floating_point<T> LogField(std::string_view k, T v)
      : key(k), value(std::to_string(v)), quoted(!std::isfinite(v)) {}
  LogField(std::string_view k, const absl::Status& v) : key(k), value(v.ToString()), quoted(true) {}

  std::string_view key;
  std::string value;
  bool quoted;
};
using LogFields = std::initializer_list<LogField>;

/// Sets threshold and format for the process. Until called: info, text.
void ConfigureLog(LogLevel threshold, LogFormat format);
[[nodiscard]] bool LogEnabled(LogLevel level);

/// Writes one line. `component` is the module ("net", "sync"), `message` a constant sentence.
void Log(LogLevel level, std::string_view component, std::string_view message, LogFields fields);

inline void LogDebug(std::string_view component, std::string_view message, LogFields fields = {}) {
  if (LogEnabled(LogLevel::kDebug)) Log(LogLevel::kDebug, component, message, fields);
}
inline void LogInfo(std::string_view component, std::string_view message, LogFields fields = {}) {
  if (LogEnabled(LogLevel::kInfo)) Log(LogLevel::kInfo, component, message, fields);
}
inline void LogWarn(std::string_view component, std::string_view message, LogFields fields = {}) {
  if (LogEnabled(LogLevel::kWarn)) Log(LogLevel::kWarn, component, message, fields);
}
inline void LogError(std::string_view component, std::string_view message, LogFields fields = {}) {
  if (LogEnabled(LogLevel::kError)) Log(LogLevel::kError, component, message, fields);
}

/// The line that Log() would write, without the newline; separate so that tests can read it.
std::string FormatLogLine(LogFormat format, LogLevel level, uint64_t unix_micros,
                          std::string_view component, std::string_view message, LogFields fields);

}  // namespace graspd::base
