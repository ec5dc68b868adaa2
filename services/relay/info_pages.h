#pragma once

#include <string>

#include "net/http.h"
#include "nostr/limits.h"
#include "services/relay/relay_info.h"

namespace graspd::relay {

/// Answers plain HTTP on the relay port: NIP-11 (`Accept: application/nostr+json`), a landing page
/// for browsers, OPTIONS for browsers' pre-flight requests, and 404.
///
/// The texts are made once. Thread-safe.
class InfoPages {
 public:
  InfoPages(const RelayInfo& info, const nostr::Limits& limits);
  [[nodiscard]] net::HttpResponse Answer(const net::HttpRequest& request) const;

 private:
  std::string path_;  // of the relay's URL, besides "/"
  std::string document_, landing_, not_found_;
};

/// The NIP-11 document: only what this relay really does, and the limits that it really applies.
[[nodiscard]] std::string RelayInformationDocument(const RelayInfo& info,
                                                   const nostr::Limits& limits);

}  // namespace graspd::relay
