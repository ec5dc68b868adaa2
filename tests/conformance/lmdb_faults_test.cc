// Faults of the machine below LMDB: kills, syncs that fail, disks and maps that are full.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <functional>
#include <optional>
#include <set>

#include "base/random.h"
#include "gmock/gmock.h"
#include "storage/lmdb/env.h"
#include "storage/lmdb/fill_watch.h"
#include "storage/lmdb/indexer.h"
