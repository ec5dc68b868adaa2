#include "base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/clock.h"
#include "base/utf8.h"

namespace graspd::base {
namespace {

constexpr size_t kMaxValueBytes = 256;
constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error", "off"};

std::atomic<LogLevel> g_threshold{LogLevel::kInfo};
std::atomic<LogFormat> g_format{LogFormat::kText};

spdlog::logger& Sink() {
  static const auto logger = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto made = std::make_shared<spdlog::logger>("graspd", sink);
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

// Cuts at the limit without splitting a UTF-8 sequence, which has at most three bytes after its
// first.
std::string_view Cut(std::string_view value) {
  if (value.size() <= kMaxValueBytes) return value;
  size_t end = kMaxValueBytes;
  const auto continues = [&] { return (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80; };
  while (continues() && end > kMaxValueBytes - 3) --end;
  return value.substr(0, end);
}

void AppendQuoted(std::string& out, std::string_view value) {
  const auto cut = Cut(value);
  out += '"';
  for (size_t i = 0; i < cut.size();) {
    const auto byte = static_cast<unsigned char>(cut[i]);
    const size_t length = Utf8CharacterBytes(cut.substr(i));
    if (length == 0) {
      out += "\\ufffd";
    } else if (byte == '"' || byte == '\\') {
      out += '\\';
      out += cut[i];
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04x}", byte);
    } else if (byte == 0xc2 && static_cast<unsigned char>(cut[i + 1]) < 0xa0) {
      // U+0080 to U+009F: terminals take some for the start of a command.
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(cut[i + 1]));
    } else {
      out += cut.substr(i, length);
    }
    i += std::max<size_t>(length, 1);
  }
  if (cut.size() < value.size()) out += "...";
  out += '"';
}

bool NeedsQuotes(std::string_view value) {
  if (value.empty() || value.size() > kMaxValueBytes) return true;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '\\' || c == '=') return true;
  }
  return false;
}

std::string Timestamp(uint64_t unix_micros) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(static_cast<std::time_t>(unix_micros / 1'000'000)),
                     unix_micros % 1'000'000);
}

std::string JsonLine(LogLevel level, uint64_t unix_micros, std::string_view component,
                     std::string_view message, LogFields fields) {
  std::string line =
      fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"component\":", Timestamp(unix_micros),
                  kLevelNames[static_cast<int>(level)]);
  AppendQuoted(line, component);
  line += ",\"message\":";
  AppendQuoted(line, message);
  for (const auto& field : fields) {
    line += ',';
    AppendQuoted(line, field.key);
    line += ':';
    if (field.quoted) {
      AppendQuoted(line, field.value);
    } else {
      line += field.value;
    }
  }
  line += '}';
  return line;
}

std::string TextLine(LogLevel level, uint64_t unix_micros, std::string_view component,
                     std::string_view message, LogFields fields) {
  std::string line = fmt::format("{} {:<5} {:<8} {}", Timestamp(unix_micros),
                                 kLevelNames[static_cast<int>(level)], component, message);
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (field.quoted && NeedsQuotes(field.value)) {
      AppendQuoted(line, field.value);
    } else {
      line += field.value;
    }
  }
  return line;
}

}  // namespace

void ConfigureLog(LogLevel threshold, LogFormat format) {
  g_threshold = threshold;
  g_format = format;
}

bool LogEnabled(LogLevel level) { return level >= g_threshold.load(std::memory_order_relaxed); }

std::string FormatLogLine(LogFormat format, LogLevel level, uint64_t unix_micros,
                          std::string_view component, std::string_view message, LogFields fields) {
  return format == LogFormat::kJson ? JsonLine(level, unix_micros, component, message, fields)
                                    : TextLine(level, unix_micros, component, message, fields);
}

void Log(LogLevel level, std::string_view component, std::string_view message, LogFields fields) {
  Sink().info(spdlog::string_view_t(FormatLogLine(
      g_format, level, SystemClock::Instance().UnixMicros(), component, message, fields)));
}

}  // namespace graspd::base
