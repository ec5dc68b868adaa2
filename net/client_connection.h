#pragma once

#include <memory>

#include "net/dialer.h"

namespace graspd::net {

struct DialerCore;

/// Dialer::Dial.
std::shared_ptr<DialledConnection> StartClientConnection(std::shared_ptr<DialerCore> core,
                                                         DialOptions options,
                                                         std::shared_ptr<DialHandler> handler,
                                                         IoThread& thread);

}  // namespace graspd::net
