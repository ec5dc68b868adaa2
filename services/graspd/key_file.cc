#include "services/graspd/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "nostr/nip19.h"

namespace graspd::daemon {
namespace {

constexpr size_t kMostBytes = 1024;  // a key has 64; a file of more is something else
constexpr size_t kKeyBytes = 32;

absl::Status Unavailable(const std::string& path, const char* what) {
  const int error = errno;
  return absl::UnavailableError(path + ": " + what + ": " + std::strerror(error));
}

// A file descriptor that closes itself.
struct File {
  explicit File(int f) : fd(f) {}
  ~File() {
    if (fd >= 0) ::close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  const int fd;
};

absl::StatusOr<nostr::SecretKey> Parse(const std::string& path, std::string_view text) {
  auto key = text.starts_with("nsec") ? nostr::DecodeNsec(text) : nostr::SecretKey::FromHex(text);
  if (!key.ok()) return absl::InvalidArgumentError(path + " holds no secret key (hex or nsec)");
  return key;
}

absl::StatusOr<nostr::SecretKey> Read(const std::string& path, const File& file) {
  struct stat about {};
  if (::fstat(file.fd, &about) == 0 && (about.st_mode & S_IROTH) != 0) {
    base::LogWarn("daemon", "everybody may read the key file", {{"file", path}});
  }
  std::string text(kMostBytes, '\0');
  const ssize_t got = ::read(file.fd, text.data(), text.size());
  if (got < 0) return Unavailable(path, "cannot be read");
  text.resize(static_cast<size_t>(got));
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  return Parse(path, {trimmed.data(), trimmed.size()});
}

absl::StatusOr<nostr::SecretKey> Make(const std::string& path) {
  const File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (file.fd < 0) return Unavailable(path, "cannot be made");
  const std::string text = base::SystemRandom::HexToken(kKeyBytes) + "\n";
  if (::write(file.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(file.fd) != 0) {
    return Unavailable(path, "cannot be written");
  }
  return Parse(path, std::string_view(text).substr(0, 2 * kKeyBytes));
}

}  // namespace

absl::StatusOr<nostr::SecretKey> ReadOrMakeKey(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd >= 0) return Read(path, file);
  if (errno != ENOENT) return Unavailable(path, "cannot be opened");
  GRASPD_ASSIGN_OR_RETURN(auto key, Make(path));
  base::LogInfo("daemon", "made a key to authenticate with",
                {{"file", path}, {"public_key", key.public_key().ToHex()}});
  return key;
}

}  // namespace graspd::daemon
