// The corpus of URLs that must never lead to a connection, for tests.
#pragma once

#include <string>
#include <vector>

namespace graspd::net {

/// A line of tests/data/forbidden-urls.tsv (written by forbidden_urls.py beside it).
struct ForbiddenUrl {
  bool is_url = false;  // false: RelayUrl::Parse refuses it; true: AddressGuard does
  std::string reason;
  std::string url;
  std::vector<std::string> answers;  // what its host resolves to, if that is a name
};
/// Throws std::runtime_error if the file is not there or not well-formed.
std::vector<ForbiddenUrl> ReadForbiddenUrls(const std::string& path);

}  // namespace graspd::net
