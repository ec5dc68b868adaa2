// Loaded into graspd by a test (LD_PRELOAD): LMDB no longer syncs its commits. What must be durable
// then is not, and the test that watches for it has to notice.
#include <dlfcn.h>
#include <lmdb.h>

extern "C" int mdb_env_open(MDB_env* env, const char* path, unsigned int flags, mdb_mode_t mode) {
  using Open = int (*)(MDB_env*, const char*, unsigned int, mdb_mode_t);
  static const auto real = reinterpret_cast<Open>(dlsym(RTLD_NEXT, "mdb_env_open"));
  return real(env, path, flags | MDB_NOSYNC, mode);
}
