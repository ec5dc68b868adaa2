#pragma once

#include <memory>

#include "net/dialer.h"

namespace graspd::net {

struct DialerCore;

/// DialledConnection::FetchDocument, from the address that the connection is connected to.
void StartDocumentFetch(std::shared_ptr<DialerCore> core, DialOptions options,
                        SocketAddress address, DialledConnection::DocumentCallback done,
                        IoThread& thread);

/// What is said instead of a document.
absl::Status NoDocument(const DialFailure& failure);

}  // namespace graspd::net
