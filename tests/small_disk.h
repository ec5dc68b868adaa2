// A disk that is soon full.
#pragma once

#include <sys/mount.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace graspd::tests {

/// A file system of `type`, "tmpfs" or "ext4", of so many MiB, mounted below `directory` while it
/// lives. Needs root, and for ext4 a loop device.
class SmallDisk {
 public:
  SmallDisk(const std::string& type, const std::string& directory, int mebibytes)
      : path_(directory + "/disk") {
    std::filesystem::create_directory(path_);
    const std::string size = std::to_string(mebibytes) + "M", image = directory + "/image";
    const std::string command = type == "tmpfs"
                                    ? "mount -t tmpfs -o size=" + size + " tmpfs " + path_
                                    : "truncate -s " + size + " " + image +
                                          " && mkfs.ext4 -q -F -m 0 -O ^has_journal " + image +
                                          " && mount -o loop " + image + " " + path_;
    const std::string tools = "PATH=$PATH:/sbin:/usr/sbin; ";
    mounted_ = std::system((tools + "{ " + command + "; } 2>/dev/null").c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool mounted_;
};

}  // namespace graspd::tests
