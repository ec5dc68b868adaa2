#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace graspd::base {

/// A fresh directory, removed with its contents in the end. For tests.
class TempDirectory {
 public:
  TempDirectory() {
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = std::filesystem::temp_directory_path() / "graspd-test-XXXXXX";
};

}  // namespace graspd::base
