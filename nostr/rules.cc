#include "nostr/rules.h"

#include <charconv>

#include "nostr/sort_unique.h"

namespace graspd::nostr {
namespace {

// Digits only, the whole text, no overflow.
template <typename Integer>
std::optional<Integer> ParseDecimal(std::string_view text) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

KindClass ClassOf(Kind kind) {
  if (kind == 0 || kind == 3) return KindClass::kReplaceable;
  switch (kind / 10000) {
    case 1:
      return KindClass::kReplaceable;
    case 2:
      return KindClass::kEphemeral;
    case 3:
      return KindClass::kAddressable;
    default:
      return KindClass::kRegular;
  }
}

std::string Address::ToString() const {
  return std::to_string(kind) + ':' + author.ToHex() + ':' + identifier;
}

std::optional<Address> AddressOf(const Event& event) {
  switch (ClassOf(event.kind)) {
    case KindClass::kReplaceable:
      return Address{event.kind, event.pubkey, ""};
    case KindClass::kAddressable:
      return Address{event.kind, event.pubkey, std::string(event.tags.FirstValue("d"))};
    default:
      return std::nullopt;
  }
}

std::optional<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  const std::string_view digits = text.substr(0, colon);
  const auto kind = ParseDecimal<Kind>(digits);
  if (!kind || (digits[0] == '0' && digits.size() > 1)) return std::nullopt;
  text.remove_prefix(colon + 1);
  const auto author = PublicKey::FromHex(text.substr(0, 2 * PublicKey::kSize));
  if (!author) return std::nullopt;
  text.remove_prefix(2 * PublicKey::kSize);

  const bool has_colon = !text.empty() && text[0] == ':';
  if (!has_colon && !text.empty()) return std::nullopt;
  const std::string_view identifier = has_colon ? text.substr(1) : std::string_view();
  const KindClass kind_class = ClassOf(*kind);
  const bool addressable = kind_class == KindClass::kAddressable && has_colon;
  const bool replaceable = kind_class == KindClass::kReplaceable && identifier.empty();
  if (!addressable && !replaceable) return std::nullopt;
  return Address{*kind, *author, std::string(identifier)};
}

bool Supersedes(uint64_t created_at_a, const EventId& a, uint64_t created_at_b, const EventId& b) {
  return created_at_a != created_at_b ? created_at_a > created_at_b : a < b;
}

DeletionTargets DeletionTargetsOf(const Event& deletion) {
  DeletionTargets targets;
  for (const Tag tag : deletion.tags) {
    if (tag.name() == "e") {
      if (const auto id = EventId::FromHex(tag.value())) targets.ids.push_back(*id);
    } else if (tag.name() == "a") {
      auto address = ParseAddress(tag.value());
      if (address && address->author == deletion.pubkey) {
        targets.addresses.push_back(*std::move(address));
      }
    }
  }
  SortAndDedupe(targets.ids);
  SortAndDedupe(targets.addresses);
  return targets;
}

std::optional<uint64_t> ExpirationOf(const Event& event) {
  return ParseDecimal<uint64_t>(event.tags.FirstValue("expiration"));
}

bool IsExpired(const Event& event, uint64_t unix_now) {
  const auto expiration = ExpirationOf(event);
  return expiration && *expiration <= unix_now;
}

bool IsProtected(const Event& event) { return event.tags.Has("-"); }

bool EmbedsProtected(const Event& repost) {
  if (repost.kind != kRepostKind && repost.kind != kGenericRepostKind) return false;
  const auto embedded = ParseEvent(repost.content);
  return embedded.ok() && IsProtected(*embedded);
}

}  // namespace graspd::nostr
