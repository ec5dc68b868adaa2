#pragma once

#include <memory>

#include "net/dialer.h"

namespace graspd::net {

struct DialerCore;

class Outbound;

/// DialledConnection::FetchDocument, from the address that the connection is connected to. What is
/// returned is there while the fetch goes on.
std::weak_ptr<Outbound> StartDocumentFetch(std::shared_ptr<DialerCore> core, DialOptions options,
                                           SocketAddress address,
                                           DialledConnection::DocumentCallback done,
                                           IoThread& thread);

/// What is said instead of a document.
absl::Status NoDocument(const DialFailure& failure);

}  // namespace graspd::net
