#include "engine/atomic_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.hpp"

namespace rota_lm {

namespace {

namespace fs = std::filesystem;

/// Temporary files are called NAME.XXXXXX.rota-tmp, so that no file of a user's is taken for one.
/// Their writer holds a lock on them, which ends with its process: one without is of a dead one.
constexpr std::string_view unique = ".XXXXXX", ending = ".rota-tmp";

::mode_t usual_mask() {
  const ::mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

/// Where symbolic links lead to, at whose end there may be nothing yet. Nothing: to an open file
/// of a process (/dev/stdout), which has no place.
std::optional<std::string> followed(const std::string& path) {
  fs::path at = path;
  std::error_code problem;
  if (path.starts_with("/proc/") || path.starts_with("/dev/fd/")) return std::nullopt;
  for (int links = 0; links < 40 && fs::is_symlink(fs::symlink_status(at, problem)); ++links) {
    const fs::path to = fs::read_symlink(at, problem);
    if (problem) break;
    at = at.parent_path() / to;  // `to` alone when it is absolute
    if (at.string().starts_with("/proc/")) return std::nullopt;
  }
  return at.string();
}

fs::path folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder;
}

bool is_temporary_of(std::string_view name, std::string_view file) {
  return name.size() == file.size() + unique.size() + ending.size() && name.starts_with(file) &&
         name[file.size()] == '.' && name.ends_with(ending);
}

/// Removes `path`, a temporary file, unless a process is writing it.
void remove_if_dead(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  struct stat info = {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (regular && info.st_nlink > 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    static_cast<void>(::unlink(path.c_str()));  // the next writer tries again
  }
  ::close(fd);
}

void remove_dead_temporaries(const std::string& place) {
  const std::string name = fs::path(place).filename().string();
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(folder_of(place), problem)) {
    if (is_temporary_of(entry.path().filename().string(), name)) {
      remove_if_dead(entry.path().string());
    }
  }
}

/// The new name is in the folder, which has its own place on the disk. Some file systems cannot
/// sync folders; the file is whole all the same.
void sync_folder(const std::string& place) {
  const int fd = ::open(folder_of(place).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  static_cast<void>(::fsync(fd));
  ::close(fd);
}

}  // namespace

bool is_stream(const std::string& path) {
  std::error_code ignored;
  return fs::is_other(fs::status(path, ignored)) || !followed(path);
}

atomic_file::atomic_file(std::string path, readers who) : path_(std::move(path)) {
  if (path_.empty()) fail("\"\"", "cannot be written: a file needs a name");
  if (std::error_code ignored; fs::is_directory(path_, ignored)) {
    fail(path_, "cannot be written: is a folder; name a file in it");
  }
  if (is_stream(path_)) {
    fail(path_, "cannot be written: is a device, a pipe or a socket; name a regular file");
  }
  place_ = *followed(path_);
  remove_dead_temporaries(place_);
  open_temporary();
  if (who == readers::as_usual) ::fchmod(file_, 0666 & ~usual_mask());
}

/// Between being made and being locked a file looks dead: another process may remove it then.
void atomic_file::open_temporary() {
  for (;;) {
    temporary_ = place_;
    temporary_.append(unique).append(ending);
    file_ = ::mkostemps(temporary_.data(), static_cast<int>(ending.size()), O_CLOEXEC);
    if (file_ < 0) {
      temporary_.clear();
      refuse();
    }
    struct stat info = {};
    const bool locked = ::flock(file_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && ::fstat(file_, &info) == 0 && info.st_nlink > 0) return;
    ::close(std::exchange(file_, -1));
  }
}

atomic_file::~atomic_file() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  if (file_ >= 0) ::close(file_);
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
  // Renamed while it is locked: unlocked, it would be taken for a dead process's.
  if (::rename(temporary_.c_str(), place_.c_str()) != 0) refuse();
  temporary_.clear();
  if (::close(std::exchange(file_, -1)) != 0) refuse();
  sync_folder(place_);
}

void atomic_file::refuse() const {
  fail(path_, std::string("cannot be written: ") + std::strerror(errno));
}

}  // namespace rota_lm
