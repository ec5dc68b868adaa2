#include "base/line_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/status_macros.h"

namespace graspd::base {
namespace {

constexpr unsigned kBufferBytes = 256 * 1024;

absl::Status SystemError(int error, const std::string& what) {
  const std::string message = what + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return absl::ResourceExhaustedError(message);
  }
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM || error == EROFS) {
    return absl::PermissionDeniedError(message);
  }
  return absl::UnavailableError(message);
}

bool IsSpecialFile(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

}  // namespace

struct LineWriter::Impl {
  std::string path;       // for messages
  std::string temporary;  // empty: written to directly
  int fd = -1;            // of its own beside zlib's, to sync after zlib has closed
  gzFile file = nullptr;

  ~Impl() {
    if (file != nullptr) gzclose(file);
    if (fd >= 0) close(fd);
    if (!temporary.empty()) std::remove(temporary.c_str());
  }

  absl::Status Open() {
    const bool compressed = path.ends_with(".gz");
    if (path == "-") {
      path = "standard output";
      fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    } else if (IsSpecialFile(path)) {
      fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    } else {
      const std::string name = path + ".partial";
      fd = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      if (fd >= 0) temporary = name;
    }
    const int own = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) return Error();
    file = gzdopen(own, compressed ? "wb" : "wbT");  // T: as it is
    if (file == nullptr) {
      close(own);
      return absl::UnavailableError("cannot write " + path + ": out of memory");
    }
    gzbuffer(file, kBufferBytes);
    return absl::OkStatus();
  }

  [[nodiscard]] absl::Status Error() const {
    return SystemError(errno == 0 ? EIO : errno, "cannot write " + path);
  }

  absl::Status Finish() {
    errno = 0;
    if (gzclose(std::exchange(file, nullptr)) != Z_OK) return Error();
    if (temporary.empty()) return absl::OkStatus();
    if (fsync(fd) != 0 || std::rename(temporary.c_str(), path.c_str()) != 0) return Error();
    temporary.clear();
    return SyncDirectory();
  }

  // The new name survives power loss only if the directory does.
  [[nodiscard]] absl::Status SyncDirectory() const {
    const size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const int directory_fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0) return Error();
    const int code = fsync(directory_fd) == 0 || errno == EINVAL ? 0 : errno;
    close(directory_fd);
    return code == 0 ? absl::OkStatus() : SystemError(code, "cannot sync " + directory);
  }
};

LineWriter::LineWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LineWriter::LineWriter(LineWriter&&) noexcept = default;
LineWriter& LineWriter::operator=(LineWriter&&) noexcept = default;
LineWriter::~LineWriter() = default;

absl::StatusOr<LineWriter> LineWriter::Open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  GRASPD_RETURN_IF_ERROR(impl->Open());
  return LineWriter(std::move(impl));
}

absl::Status LineWriter::Write(std::string_view line) {
  errno = 0;
  const size_t written = line.empty() ? 0 : gzfwrite(line.data(), 1, line.size(), impl_->file);
  if (written != line.size() || gzputc(impl_->file, '\n') < 0) return impl_->Error();
  return absl::OkStatus();
}

absl::Status LineWriter::Finish() { return impl_->Finish(); }

}  // namespace graspd::base
