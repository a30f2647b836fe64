#include "engine/atomic_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.hpp"

namespace rota_lm {

namespace {

::mode_t usual_mask() {
  const ::mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

}  // namespace

atomic_file::atomic_file(std::string path, readers who)
    : path_(std::move(path)), temporary_(path_ + ".XXXXXX") {
  if (std::error_code ignored; std::filesystem::is_directory(path_, ignored)) {
    fail(path_, "cannot be written: is a folder");
  }
  file_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (file_ < 0) refuse();
  if (who == readers::as_usual) ::fchmod(file_, 0666 & ~usual_mask());
}

atomic_file::~atomic_file() {
  if (file_ >= 0) ::close(file_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void atomic_file::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ::ssize_t n = ::write(file_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse();
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void atomic_file::commit() {
  if (::fsync(file_) != 0) refuse();
  if (::close(std::exchange(file_, -1)) != 0) refuse();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) refuse();
  temporary_.clear();
  sync_folder();
}

void atomic_file::refuse() const {
  fail(path_, std::string("cannot be written: ") + std::strerror(errno));
}

/// The new name is in the folder, which has its own place on the disk. Some file systems cannot
/// sync folders; the file is whole all the same.
void atomic_file::sync_folder() const {
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  const std::string name = folder.empty() ? "." : folder.string();
  const int fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  static_cast<void>(::fsync(fd));
  ::close(fd);
}

}  // namespace rota_lm
