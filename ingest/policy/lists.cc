#include "ingest/policy/lists.h"

#include <charconv>
#include <optional>
#include <utility>

#include "base/hex.h"
#include "base/status_macros.h"
#include "nostr/keys.h"

namespace graspd::ingest {
namespace {

// policy/<list>/<SHA-256 of the entry in hex>: entries may be longer than keys.
std::string KeyPrefix(PolicyList list) {
  return "policy/" + std::string(PolicyListName(list)) + "/";
}
std::string KeyOf(PolicyList list, std::string_view entry) {
  return KeyPrefix(list) + base::HexEncode(nostr::Sha256(entry));
}

// The time, a line break, the reason, a line break, the entry.
std::string ToValue(const PolicyLists::Entry& entry) {
  return std::to_string(entry.added_at) + "\n" + entry.reason + "\n" + entry.text;
}

std::optional<PolicyLists::Entry> FromValue(PolicyList list, std::string_view value) {
  const size_t first = value.find('\n');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = value.find('\n', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  PolicyLists::Entry entry;
  const char* const end = value.data() + first;
  const auto number = std::from_chars(value.data(), end, entry.added_at);
  if (number.ec != std::errc() || number.ptr != end) return std::nullopt;
  entry.reason = value.substr(first + 1, second - first - 1);
  entry.text = value.substr(second + 1);
  const auto canonical = CanonicalEntry(list, entry.text);
  if (!canonical.ok() || *canonical != entry.text) return std::nullopt;
  return entry;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyLists>> PolicyLists::Load(storage::EventStore& store,
                                                               const Configured& configured) {
  std::unique_ptr<PolicyLists> lists(new PolicyLists(store));
  base::MutexLock lock(lists->update_mutex_);
  for (size_t i = 0; i < kPolicyLists; ++i) {
    GRASPD_RETURN_IF_ERROR(lists->LoadStored(static_cast<PolicyList>(i)));
    for (const std::string& text : configured[i]) {
      lists->lists_[i][text] = {.text = text, .reason = "", .added_at = 0, .from_settings = true};
    }
  }
  lists->Renew();
  return lists;
}

absl::Status PolicyLists::LoadStored(PolicyList list) {
  GRASPD_ASSIGN_OR_RETURN(const auto stored, store_.ListKeys(KeyPrefix(list)));
  for (const auto& item : stored) {
    auto entry = FromValue(list, item.value);
    if (!entry) return absl::DataLossError("an entry of a list cannot be read: " + item.key);
    std::string text = entry->text;
    Of(list).emplace(std::move(text), *std::move(entry));
  }
  return absl::OkStatus();
}

std::shared_ptr<const ListSnapshot> PolicyLists::snapshot() const {
  base::MutexLock lock(snapshot_mutex_);
  return snapshot_;
}

void PolicyLists::Renew() {
  auto next = std::make_shared<ListSnapshot>();
  for (size_t i = 0; i < kPolicyLists; ++i) {
    for (const auto& [text, entry] : lists_[i]) next->Insert(static_cast<PolicyList>(i), text);
  }
  base::MutexLock lock(snapshot_mutex_);
  snapshot_ = std::move(next);
}

absl::Status PolicyLists::Put(const std::string& key, std::optional<std::string_view> value) {
  GRASPD_ASSIGN_OR_RETURN(const auto stored, store_.GetKey(key));
  if (!stored && !value) return absl::OkStatus();
  return store_.CompareAndSet(key, stored ? stored->version : 0, value).status();
}

absl::StatusOr<bool> PolicyLists::Add(PolicyList list, std::string_view text,
                                      std::string_view reason, uint64_t unix_now) {
  GRASPD_ASSIGN_OR_RETURN(const std::string canonical, CanonicalEntry(list, text));
  if (reason.size() > kReasonBytes || reason.find('\n') != std::string_view::npos) {
    return absl::InvalidArgumentError("a reason is one line of at most 256 bytes");
  }
  base::MutexLock lock(update_mutex_);
  List& entries = Of(list);
  if (entries.contains(canonical)) return false;
  if (entries.size() >= kEntriesPerList) return absl::ResourceExhaustedError("the list is full");
  Entry entry{canonical, std::string(reason), unix_now, false};
  GRASPD_RETURN_IF_ERROR(Put(KeyOf(list, canonical), ToValue(entry)));
  entries.emplace(canonical, std::move(entry));
  Renew();
  if (changed_) changed_();
  return true;
}

absl::StatusOr<bool> PolicyLists::Remove(PolicyList list, std::string_view text) {
  GRASPD_ASSIGN_OR_RETURN(const std::string canonical, CanonicalEntry(list, text));
  base::MutexLock lock(update_mutex_);
  const auto found = Of(list).find(canonical);
  if (found == Of(list).end()) return false;
  if (found->second.from_settings) {
    return absl::FailedPreconditionError("the entry is in the settings, and can be removed there");
  }
  GRASPD_RETURN_IF_ERROR(Put(KeyOf(list, canonical), std::nullopt));
  Of(list).erase(found);
  Renew();
  if (changed_) changed_();
  return true;
}

std::vector<PolicyLists::Entry> PolicyLists::Entries(PolicyList list) const {
  base::MutexLock lock(update_mutex_);
  std::vector<Entry> out;
  for (const auto& [text, entry] : lists_[static_cast<size_t>(list)]) out.push_back(entry);
  return out;
}

void PolicyLists::OnChange(std::function<void()> changed) {
  base::MutexLock lock(update_mutex_);
  changed_ = std::move(changed);
}

}  // namespace graspd::ingest
