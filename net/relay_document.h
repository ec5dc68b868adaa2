#pragma once

#include <memory>

#include "net/dialer.h"

namespace graspd::net {

struct DialerCore;

/// Dialer::FetchDocument.
void StartDocumentFetch(std::shared_ptr<DialerCore> core, DialOptions options,
                        Dialer::DocumentCallback done, IoThread& thread);

}  // namespace graspd::net
