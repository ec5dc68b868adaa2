#include "bench/load/event_set.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "base/line_reader.h"
#include "base/random.h"
#include "base/status_macros.h"

namespace graspd::bench {
namespace {

constexpr uint64_t kDisorder = 3600;  // seconds
constexpr std::string_view kBeforeId = R"({"id":")";

base::SeededRandom RandomOf(uint64_t seed, size_t i) {
  return base::SeededRandom(seed * 0x9e3779b97f4a7c15 + i);
}

std::string Words(base::Random& random, size_t length) {
  std::string out(length, ' ');
  for (size_t i = 0; i < length; ++i) {
    if (random.Below(6) != 0) out[i] = static_cast<char>('a' + random.Below(26));
  }
  return out;
}

// Signs every `step`-th event from `begin` on into its place in `text`.
void Sign(const EventMaker& maker, size_t first, size_t begin, size_t step, std::string& text,
          Progress* progress) {
  for (size_t i = begin; i < text.size() / kEventBytes; i += step) {
    const std::string json = nostr::EventJson(maker.Make(first + i));
    std::copy(json.begin(), json.end(), text.begin() + static_cast<ptrdiff_t>(i * kEventBytes));
    if (progress != nullptr) progress->Show("events signed", i);
  }
}

absl::Status OtherEvents(const std::string& file) {
  return absl::FailedPreconditionError(
      fmt::format("{} holds other events (another --seed, --now or --first?): name another file or "
                  "remove it",
                  file));
}

// At most `count` events.
absl::StatusOr<std::string> Read(const std::string& file, size_t count) {
  GRASPD_ASSIGN_OR_RETURN(auto lines, base::LineReader::Open(file));
  std::string text;
  text.reserve(count * kEventBytes);
  while (text.size() < count * kEventBytes) {
    const auto line = lines.Next();
    if (!line) break;
    if (line->size() != kEventBytes) return OtherEvents(file);
    text += *line;
  }
  GRASPD_RETURN_IF_ERROR(lines.status());
  return text;
}

// Complete or not at all.
absl::Status Write(const std::string& file, std::string_view text) {
  const std::string temporary = file + ".new";
  const char* mode = file.ends_with(".gz") ? "wb1" : "wbT";  // T: as it is
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> out(gzopen(temporary.c_str(), mode),
                                                       [](gzFile f) { return gzclose(f); });
  bool ok = out != nullptr;
  for (size_t at = 0; ok && at < text.size(); at += kEventBytes) {
    ok = gzwrite(out.get(), text.data() + at, kEventBytes) > 0 && gzputc(out.get(), '\n') == '\n';
  }
  ok = ok && gzflush(out.get(), Z_FINISH) == Z_OK;
  if (ok && std::rename(temporary.c_str(), file.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("cannot write {}", file));
}

}  // namespace

EventMaker::EventMaker(uint64_t seed, uint64_t base_time) : seed_(seed), base_time_(base_time) {
  keys_.reserve(kAuthors);
  for (size_t i = 0; i < kAuthors; ++i) {
    keys_.push_back(nostr::SecretKey::FromSeed(fmt::format("graspd-bench {} {}", seed, i)));
  }
}

size_t EventMaker::AuthorOf(size_t i) const { return RandomOf(seed_, i).Below(kAuthors); }

nostr::Event EventMaker::Make(size_t i) const {
  auto random = RandomOf(seed_, i);
  const auto& key = keys_[random.Below(kAuthors)];
  nostr::Event event;
  event.pubkey = key.public_key();
  event.created_at = base_time_ + i + random.Below(kDisorder);
  event.kind = kEventKind;
  if (i % 2 == 0) {
    const auto parent = nostr::Sha256(fmt::format("parent {}", random.Below(1 + i / 10)));
    event.tags.Add({"e", nostr::EventId{parent}.ToHex()});
  } else {
    event.tags.Add({"subject", fmt::format("comment {}", i)});
  }
  // The JSON is as long unsigned as signed.
  event.content = Words(random, kEventBytes - nostr::EventJson(event).size());
  event.id = nostr::ComputeId(event);
  event.sig = key.Sign(event.id.bytes);
  return event;
}

EventSet::EventSet(std::string text, size_t event_bytes)
    : text_(std::move(text)), event_bytes_(event_bytes) {
  by_id_.reserve(size());
  for (size_t i = 0; i < size(); ++i) by_id_.emplace(id(i), static_cast<uint32_t>(i));
}

std::string_view EventSet::id(size_t i) const { return json(i).substr(kBeforeId.size(), 64); }

std::optional<size_t> EventSet::Find(std::string_view id) const {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return std::nullopt;
  return it->second;
}

absl::StatusOr<EventSet> LoadOrSign(const EventMaker& maker, size_t first, size_t count,
                                    const std::string& file, Progress& progress) {
  std::string text;
  if (!file.empty() && std::filesystem::exists(file)) {
    GRASPD_ASSIGN_OR_RETURN(text, Read(file, count));
  }
  const size_t known = text.size() / kEventBytes;
  const auto is_ours = [&](size_t i) {
    return std::string_view(text).substr(i * kEventBytes, kEventBytes) ==
           nostr::EventJson(maker.Make(first + i));
  };
  if (known > 0 && !(is_ours(0) && is_ours(known - 1))) return OtherEvents(file);
  if (known < count) {
    text.resize(count * kEventBytes);
    std::thread other([&] { Sign(maker, first, known + 1, 2, text, nullptr); });
    Sign(maker, first, known, 2, text, &progress);
    other.join();
    progress.Clear();
    if (!file.empty()) GRASPD_RETURN_IF_ERROR(Write(file, text));
  }
  return EventSet(std::move(text));
}

}  // namespace graspd::bench
