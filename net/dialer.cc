#include "net/dialer.h"

#include "base/log.h"
#include "net/client_connection.h"
#include "net/outbound.h"

namespace graspd::net {
namespace {

namespace ssl = boost::asio::ssl;

class DialerImpl final : public Dialer {
 public:
  explicit DialerImpl(std::shared_ptr<DialerCore> core) : core_(std::move(core)) {}

  std::shared_ptr<DialledConnection> Dial(DialOptions options, std::shared_ptr<DialHandler> handler,
                                          IoThread& thread) override {
    return StartClientConnection(core_, std::move(options), std::move(handler), thread);
  }

 private:
  const std::shared_ptr<DialerCore> core_;
};

void ConfigureTls(ssl::context& tls, const std::string& ca_file) {
  ErrorCode error;
  if (ca_file.empty()) {
    tls.set_default_verify_paths(error);
  } else {
    tls.load_verify_file(ca_file, error);
  }
  if (error) {  // every wss dial will fail, and say so
    base::LogError("net", "cannot load trust roots", {{"error", error.message()}});
  }
  tls.set_verify_mode(ssl::verify_peer, error);
  SSL_CTX_set_min_proto_version(tls.native_handle(), TLS1_2_VERSION);
}

}  // namespace

std::string_view DialErrorName(DialError error) {
  switch (error) {
    case DialError::kNone:
      return "none";
    case DialError::kBlocked:
      return "blocked";
    case DialError::kCrowded:
      return "crowded";
    case DialError::kDns:
      return "dns";
    case DialError::kTcp:
      return "tcp";
    case DialError::kTls:
      return "tls";
    case DialError::kHttp:
      return "http";
    case DialError::kWebSocket:
      return "websocket";
    case DialError::kTimeout:
      return "timeout";
    case DialError::kRemoteClosed:
      return "remote-closed";
  }
  return "unknown";
}

std::unique_ptr<Dialer> MakeDialer(const AddressGuard& guard, Resolver& resolver,
                                   DialerOptions options) {
  auto core = std::make_shared<DialerCore>(guard, resolver, std::move(options));
  ConfigureTls(core->tls, core->options.ca_file);
  return std::make_unique<DialerImpl>(std::move(core));
}

}  // namespace graspd::net
