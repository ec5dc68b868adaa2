#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "net/test_support.h"

namespace graspd::net {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;

struct Identity {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate{X509_new()};
};

void AddExtension(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

/// A certificate for `alt_name` ("DNS:..." or "IP:..."), signed by `issuer`, or by itself.
Identity MakeIdentity(const std::string& alt_name, const Identity* issuer, long valid_for = 3600) {
  Identity identity;
  X509* certificate = identity.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  static long serial = 1;
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
  X509_gmtime_adj(X509_getm_notAfter(certificate), valid_for);
  X509_set_pubkey(certificate, identity.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(alt_name.c_str()), -1, -1, 0);
  const Identity& signer = issuer == nullptr ? identity : *issuer;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer.certificate.get()));
  AddExtension(certificate, NID_basic_constraints, issuer == nullptr ? "CA:TRUE" : "CA:FALSE");
  AddExtension(certificate, NID_subject_alt_name, alt_name);
  X509_sign(certificate, signer.key.get(), EVP_sha256());
  return identity;
}

std::string WritePem(const Identity& identity) {
  const std::string path =
      ::testing::TempDir() + "/graspd_net_ca." + std::to_string(getpid()) + ".pem";
  std::FILE* file = std::fopen(path.c_str(), "w");
  PEM_write_X509(file, identity.certificate.get());
  std::fclose(file);
  return path;
}

/// Speaks TLS with `identity`, then plainly refuses the upgrade: getting that far means trust.
/// `copies` certificates follow its own.
std::function<void(int)> TlsServer(const Identity& identity, int max_version = 0, int copies = 0) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  SSL_CTX_use_certificate(context.get(), identity.certificate.get());
  SSL_CTX_use_PrivateKey(context.get(), identity.key.get());
  for (int i = 0; i < copies; ++i) {
    SSL_CTX_add1_chain_cert(context.get(), identity.certificate.get());
  }
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_max_proto_version(context.get(), max_version);
  return [context](int fd) {
    std::unique_ptr<SSL, Deleter<SSL_free>> tls(SSL_new(context.get()));
    SSL_set_fd(tls.get(), fd);
    if (SSL_accept(tls.get()) != 1) return;
    std::string head;
    char c;
    while (!head.ends_with("\r\n\r\n") && SSL_read(tls.get(), &c, 1) == 1) head += c;
    constexpr std::string_view kAnswer = "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n";
    SSL_write(tls.get(), kAnswer.data(), static_cast<int>(kAnswer.size()));
    SSL_read(tls.get(), &c, 1);
  };
}

class TlsTest : public NetTest {
 protected:
  // OpenSSL's writes to a dialer that has gone would end the process.
  TlsTest() { std::signal(SIGPIPE, SIG_IGN); }

  /// Dials wss://`host`, which resolves to a server with `identity`.
  DialFailure DialTls(const std::string& host, const Identity& identity, int max_version = 0,
                      int copies = 0) {
    RawServer remote(TlsServer(identity, max_version, copies));
    resolver.names["relay.example"] = {"127.0.0.1"};
    dialer_options.ca_file = WritePem(ca_);
    auto handler = std::make_shared<RecordingHandler>();
    auto connection = Dial(DialOptions(nostr::RelayUrl::Parse("wss://" + host + ":" +
                                                              std::to_string(remote.address().port))
                                           .value()),
                           handler);
    return handler->Closed();
  }

  const Identity ca_ = MakeIdentity("DNS:test root", nullptr);
};

TEST_F(TlsTest, CertificateOfATrustedRootForTheNameIsAccepted) {
  const DialFailure failure = DialTls("relay.example", MakeIdentity("DNS:relay.example", &ca_));
  EXPECT_EQ(failure.error, DialError::kHttp) << failure.detail;
  EXPECT_EQ(failure.http_status, 418);
}

TEST_F(TlsTest, CertificateForTheAddressIsAccepted) {
  const DialFailure failure = DialTls("127.0.0.1", MakeIdentity("IP:127.0.0.1", &ca_));
  EXPECT_EQ(failure.error, DialError::kHttp) << failure.detail;
}

TEST_F(TlsTest, SelfSignedCertificateIsRefused) {
  const DialFailure failure = DialTls("relay.example", MakeIdentity("DNS:relay.example", nullptr));
  EXPECT_EQ(failure.error, DialError::kTls);
  EXPECT_NE(failure.detail.find("self"), std::string::npos) << failure.detail;
}

TEST_F(TlsTest, CertificateForAnotherNameIsRefused) {
  EXPECT_EQ(DialTls("relay.example", MakeIdentity("DNS:other.example", &ca_)).error,
            DialError::kTls);
  EXPECT_EQ(DialTls("127.0.0.1", MakeIdentity("DNS:relay.example", &ca_)).error, DialError::kTls);
}

TEST_F(TlsTest, ExpiredCertificateIsRefused) {
  EXPECT_EQ(DialTls("relay.example", MakeIdentity("DNS:relay.example", &ca_, -3600)).error,
            DialError::kTls);
}

TEST_F(TlsTest, OldTlsVersionIsRefused) {
  EXPECT_EQ(DialTls("relay.example", MakeIdentity("DNS:relay.example", &ca_), TLS1_1_VERSION).error,
            DialError::kTls);
}

// Not read to its end, let alone kept: OpenSSL takes 100 KiB of certificates.
TEST_F(TlsTest, AChainOfAMegabyteIsRefused) {
  const Identity identity = MakeIdentity("DNS:relay.example", &ca_);
  const int bytes = i2d_X509(identity.certificate.get(), nullptr);
  EXPECT_EQ(DialTls("relay.example", identity, 0, 10'000 / bytes).error, DialError::kHttp);
  const DialFailure failure = DialTls("relay.example", identity, 0, (1 << 20) / bytes);
  EXPECT_EQ(failure.error, DialError::kTls);
  EXPECT_NE(failure.detail.find("excessive message size"), std::string::npos) << failure.detail;
}

TEST_F(TlsTest, ServerThatDoesNotSpeakTlsIsATlsFailure) {
  RawServer remote([](int fd) { WriteAll(fd, "HTTP/1.1 400 Bad Request\r\n\r\n"); });
  auto handler = std::make_shared<RecordingHandler>();
  auto connection = Dial(
      DialOptions(nostr::RelayUrl::Parse("wss://" + remote.address().ToString()).value()), handler);
  EXPECT_EQ(handler->Closed().error, DialError::kTls);
}

TEST_F(TlsTest, HandshakeThatNeverEndsTimesOut) {
  RawServer remote([](int fd) { ReadHead(fd); });
  DialOptions dial(nostr::RelayUrl::Parse("wss://" + remote.address().ToString()).value());
  dial.tls_timeout = std::chrono::milliseconds(50);
  auto handler = std::make_shared<RecordingHandler>();
  auto connection = Dial(dial, handler);
  EXPECT_EQ(handler->Closed().error, DialError::kTimeout);
}

}  // namespace
}  // namespace graspd::net
