#include "storage/lmdb/env.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "storage/lmdb/indexer.h"
#include "storage/lmdb/keys.h"
#include "storage/lmdb/lmdb_store.h"
#include "storage/lmdb/pending.h"
#include "storage/lmdb/txn.h"
#include "storage/lmdb/upgrade.h"

namespace graspd::storage {
namespace {

constexpr std::string_view kLockFile = "graspd.lock";
// In table meta.
constexpr std::string_view kFormatKey = "format", kTagKey = "tag_key";

struct TableName {
  const char* name;
  MDB_dbi Tables::*member;
};
constexpr MDB_dbi kOldTables = 4;  // that an upgrade opens
constexpr TableName kTables[] = {
    {"meta", &Tables::meta},
    {"events", &Tables::events},
    {"ids", &Tables::ids},
    {"by_time", &Tables::by_time},
    {"by_kind", &Tables::by_kind},
    {"by_author", &Tables::by_author},
    {"by_tag_keyed", &Tables::by_tag},  // until format 1: by_tag
    {"addresses", &Tables::addresses},
    {"tombstones", &Tables::tombstones},
    {"expirations", &Tables::expirations},
    {"removals", &Tables::removals},
    {"keys", &Tables::keys},
};

absl::Status SystemError(int error, std::string_view what, std::string_view path) {
  const std::string message = fmt::format("{} {}: {}", what, path, std::strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    case ENOMEM:
      return absl::FailedPreconditionError(
          message + " (choose a smaller map, or raise the limit on address space)");
    default:
      return absl::UnavailableError(message);
  }
}

std::string ReadPid(int fd) {
  char text[24] = {};
  const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
  std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Env>> Env::Open(const LmdbOptions& options) {
  std::unique_ptr<Env> env(new Env(options));
  if (!options.read_only) {
    GRASPD_RETURN_IF_ERROR(env->MakeDirectory());
    GRASPD_RETURN_IF_ERROR(env->LockDirectory());
  }
  GRASPD_RETURN_IF_ERROR(env->OpenMap(options));
  GRASPD_RETURN_IF_ERROR(env->OpenTables());
  GRASPD_RETURN_IF_ERROR(env->LoadTagKey());
  GRASPD_RETURN_IF_ERROR(env->LoadPending());
  env->following_ = options.read_only;
  if (!options.read_only) GRASPD_RETURN_IF_ERROR(env->SyncDirectory());
  return env;
}

Env::Env(const LmdbOptions& options)
    : directory_(options.directory),
      read_only_(options.read_only),
      upgrade_rows_(options.upgrade_rows),
      stop_upgrade_(options.stop_upgrade),
      pending_{{0, std::make_shared<const Pending>()}} {}

Env::~Env() {
  for (MDB_txn* txn : idle_readers_) mdb_txn_abort(txn);
  if (env_ != nullptr) mdb_env_close(env_);
  if (lock_fd_ >= 0) close(lock_fd_);
}

absl::Status Env::MakeDirectory() {
  if (directory_.empty()) return absl::InvalidArgumentError("the store needs a directory");
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  return error ? SystemError(error.value(), "cannot make directory", directory_) : absl::OkStatus();
}

// Two processes on one environment would each hold their own idea of the latest position.
absl::Status Env::LockDirectory() {
  const std::string path = fmt::format("{}/{}", directory_, kLockFile);
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return SystemError(errno, "cannot open", path);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return SystemError(errno, "cannot lock", path);
    return absl::FailedPreconditionError(
        fmt::format("{} is in use by process {}", directory_, ReadPid(lock_fd_)));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  // Only information for whoever comes second: a failure here (a full disk) must not keep us out.
  if (ftruncate(lock_fd_, 0) != 0 || pwrite(lock_fd_, pid.data(), pid.size(), 0) < 0) {
    base::LogWarn("storage", "cannot write own pid to the lock file", {{"path", path}});
  }
  return absl::OkStatus();
}

absl::Status Env::OpenMap(const LmdbOptions& options) {
  int code = mdb_env_create(&env_);
  if (code != 0) return ToStatus(code, "create environment");
  // None of LMDB's unsafe flags. Read transactions belong to the pool, not to threads: MDB_NOTLS.
  if ((code = mdb_env_set_mapsize(env_, options.map_bytes)) != 0 ||
      (code = mdb_env_set_maxreaders(env_, static_cast<unsigned>(options.max_readers))) != 0 ||
      (code = mdb_env_set_maxdbs(env_, static_cast<MDB_dbi>(std::size(kTables)) + kOldTables)) !=
          0) {
    return ToStatus(code, "configure environment");
  }
  code = mdb_env_open(env_, directory_.c_str(), MDB_NOTLS | (read_only_ ? MDB_RDONLY : 0), 0600);
  if (code > 0) return SystemError(code, "cannot open", directory_);
  if (code != 0) return ToStatus(code, "open environment");
  return ForgetDeadReaders();
}

absl::Status Env::ForgetDeadReaders() {
  int dead = 0;
  const int code = mdb_reader_check(env_, &dead);
  return code == 0 ? absl::OkStatus() : ToStatus(code, "check readers");
}

absl::Status Env::OpenTables() {
  MDB_txn* txn = nullptr;
  int code = mdb_txn_begin(env_, nullptr, read_only_ ? MDB_RDONLY : 0, &txn);
  if (code != 0) return ToStatus(code, "begin");
  std::optional<uint64_t> format;
  code = ReadFormat(txn, format);
  const absl::Status status = code == 0 ? CheckFormat(format) : absl::OkStatus();
  if (code == 0 && status.ok()) code = OpenTables(txn, format.has_value());
  if (code == 0 && status.ok()) {
    code = mdb_txn_commit(txn);  // a read too: it would take the table handles with it
  } else {
    mdb_txn_abort(txn);
  }
  if (code == MDB_NOTFOUND && read_only_) {
    return absl::NotFoundError(fmt::format("{} holds no store yet", directory_));
  }
  const bool older = format && *format < kLmdbDataFormat;
  if (code != 0) {
    const absl::Status failed = ToStatus(code, "open tables");
    return older && absl::IsResourceExhausted(failed) ? NeedsRoom(*this, *format, failed) : failed;
  }
  GRASPD_RETURN_IF_ERROR(status);
  return older ? UpgradeFormat(*this, *format, {upgrade_rows_, stop_upgrade_}) : absl::OkStatus();
}

// Nothing if the store is new; 0 if the record is unreadable.
int Env::ReadFormat(MDB_txn* txn, std::optional<uint64_t>& format) {
  int code = mdb_dbi_open(txn, "meta", read_only_ ? 0 : MDB_CREATE, &tables_.meta);
  if (code != 0) return code;
  MDB_val key{kFormatKey.size(), const_cast<char*>(kFormatKey.data())};
  MDB_val value{};
  code = mdb_get(txn, tables_.meta, &key, &value);
  if (code == 0) format = value.mv_size == 8 ? GetUint64(ToView(value)) : 0;
  return code == MDB_NOTFOUND && !read_only_ ? 0 : code;
}

absl::Status Env::CheckFormat(std::optional<uint64_t> format) {
  if (!format || *format == kLmdbDataFormat) return absl::OkStatus();
  if (*format == 0) return Damaged("unreadable format record");
  if (*format > kLmdbDataFormat) {
    return absl::FailedPreconditionError(
        fmt::format("{} has data format {}, this program knows formats up to {}: it was written by "
                    "a newer version of graspd",
                    directory_, *format, kLmdbDataFormat));
  }
  if (!read_only_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("{} has data format {}, this program reads format {}: `graspd serve` upgrades it",
                  directory_, *format, kLmdbDataFormat));
}

// A new store gets its tables, its format and its key for tags.
int Env::OpenTables(MDB_txn* txn, bool has_format) {
  for (const auto& table : kTables) {
    const int code =
        mdb_dbi_open(txn, table.name, read_only_ ? 0 : MDB_CREATE, &(tables_.*table.member));
    if (code != 0) return code;
  }
  const auto put = [&](std::string_view name, std::string_view bytes) {
    MDB_val key{name.size(), const_cast<char*>(name.data())};
    MDB_val value{bytes.size(), const_cast<char*>(bytes.data())};
    return mdb_put(txn, tables_.meta, &key, &value, MDB_NOOVERWRITE);
  };
  if (!has_format) {
    std::string format;
    PutUint64(format, kLmdbDataFormat);
    if (const int code = put(kFormatKey, format); code != 0) return code;
  }
  if (read_only_) return 0;
  std::array<uint8_t, TagHasher::kKeyBytes> tag_key;
  base::SystemRandom::Fill(tag_key);
  const int code = put(kTagKey, {reinterpret_cast<const char*>(tag_key.data()), tag_key.size()});
  return code == MDB_KEYEXIST ? 0 : code;
}

absl::Status Env::LoadTagKey() {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*this));
  GRASPD_ASSIGN_OR_RETURN(const auto key, txn.Get(tables_.meta, kTagKey));
  if (!key || key->size() != TagHasher::kKeyBytes) return Damaged("the key for tags is unreadable");
  tag_hasher_ = TagHasher(*key);
  return absl::OkStatus();
}

absl::Status Env::LoadPending() {
  GRASPD_ASSIGN_OR_RETURN(const ReadTxn txn, ReadTxn::Begin(*this));
  auto pending = std::make_shared<Pending>(txn.pending());
  GRASPD_RETURN_IF_ERROR(CatchUp(txn, *pending));
  PublishPending(mdb_txn_id(txn.handle()), std::move(pending));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Pending>> Env::PendingAt(const Txn& snapshot) {
  const uint64_t id = mdb_txn_id(snapshot.handle());
  if (following_) return FollowPending(snapshot, id);
  base::MutexLock lock(mutex_);
  for (auto it = pending_.rbegin(); it != pending_.rend(); ++it) {
    if (it->id <= id) return it->pending;
  }
  return nullptr;
}

// Beside another process that writes: what that one has in its memory is made here from the rows.
absl::StatusOr<std::shared_ptr<const Pending>> Env::FollowPending(const Txn& snapshot,
                                                                  uint64_t id) {
  base::MutexLock lock(follow_mutex_);
  if (id < followed_) return nullptr;
  if (id > followed_) {
    auto pending = std::make_shared<Pending>(*LatestPending());
    GRASPD_RETURN_IF_ERROR(CatchUp(snapshot, *pending));
    PublishPending(id, std::move(pending));
    followed_ = id;
  }
  return LatestPending();
}

std::shared_ptr<const Pending> Env::LatestPending() {
  base::MutexLock lock(mutex_);
  return pending_.back().pending;
}

void Env::PublishPending(uint64_t id, std::shared_ptr<const Pending> pending) {
  // Readers that were between beginning and asking find theirs among these, or begin again.
  constexpr size_t kKept = 4;
  base::MutexLock lock(mutex_);
  pending_.push_back({id, std::move(pending)});
  if (pending_.size() > kKept) pending_.erase(pending_.begin());
}

void Env::WithdrawPending(uint64_t id) {
  base::MutexLock lock(mutex_);
  if (pending_.back().id == id) pending_.pop_back();
}

// A new data file survives power loss only if its directory entry does.
absl::Status Env::SyncDirectory() {
  const auto parent = std::filesystem::absolute(directory_).parent_path().string();
  for (const std::string& path : {directory_, parent}) {
    const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    // A parent that we may not read was there before us.
    if (fd < 0 && path == parent) continue;
    if (fd < 0) return SystemError(errno, "cannot open", path);
    const int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    if (error == EINVAL) continue;  // file systems that cannot sync directories
    if (error != 0) return SystemError(error, "cannot sync", path);
  }
  return absl::OkStatus();
}

absl::Status Env::ToStatus(int code, std::string_view operation) {
  const std::string message = fmt::format("{}: {}", operation, mdb_strerror(code));
  switch (code) {
    case 0:
      return absl::OkStatus();
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case MDB_READERS_FULL:
    case EAGAIN:
    case EINTR:
    case ENOMEM:
      return absl::UnavailableError(message);
    case EIO:
      // LMDB reports a short write, as a full tmpfs answers, as EIO too. Taking a failed sync on a
      // full file system for that is safe: the commit's meta page was not written, so that nothing
      // refers to its pages, and whoever reuses them writes them anew.
      if (FileSystemFull()) return absl::ResourceExhaustedError(message);
      return Damaged(message);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
      return Damaged(message);
    default:
      return absl::InternalError(message);
  }
}

bool Env::FileSystemFull() const {
  struct statvfs info {};
  if (statvfs(directory_.c_str(), &info) != 0) return false;
  constexpr uint64_t kAlmostNothing = 1 << 20;
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize < kAlmostNothing;
}

absl::Status Env::Damaged(std::string_view what) {
  base::MutexLock lock(mutex_);
  if (damage_.empty()) {
    damage_ = what;
    base::LogError("storage", "the store is damaged and takes no more writes",
                   {{"directory", directory_}, {"error", damage_}});
  }
  damaged_ = true;
  return absl::DataLossError(damage_);
}

absl::Status Env::CheckUndamaged() const {
  return damaged_ ? absl::DataLossError("the store is damaged and takes no more writes")
                  : absl::OkStatus();
}

absl::StatusOr<MDB_txn*> Env::AcquireReader() {
  MDB_txn* txn = nullptr;
  {
    base::MutexLock lock(mutex_);
    if (!idle_readers_.empty()) {
      txn = idle_readers_.back();
      idle_readers_.pop_back();
    }
  }
  if (txn == nullptr) {
    const int code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
    if (code != 0) return ToStatus(code, "begin reading");
    return txn;
  }
  const int code = mdb_txn_renew(txn);
  if (code != 0) {
    mdb_txn_abort(txn);
    return ToStatus(code, "begin reading");
  }
  return txn;
}

void Env::ReleaseReader(MDB_txn* txn) {
  mdb_txn_reset(txn);
  base::MutexLock lock(mutex_);
  idle_readers_.push_back(txn);
}

absl::StatusOr<Env::Space> Env::GetSpace() {
  MDB_envinfo info{};
  MDB_stat stat{};
  int code = mdb_env_info(env_, &info);
  if (code == 0) code = mdb_env_stat(env_, &stat);
  if (code != 0) return ToStatus(code, "read statistics");
  return Space{(static_cast<uint64_t>(info.me_last_pgno) + 1) * stat.ms_psize, info.me_mapsize};
}

}  // namespace graspd::storage
