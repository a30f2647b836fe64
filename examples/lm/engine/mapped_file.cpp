#include "engine/mapped_file.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.hpp"

namespace rota_lm {

namespace {

struct descriptor {
  explicit descriptor(int fd) : value(fd) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (value >= 0) ::close(value);
  }
  int value;
};

}  // namespace

mapped_file::mapped_file(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a pipe that nobody writes must not hang; it is refused just below.
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.value < 0) fail(path, std::string("cannot open: ") + std::strerror(errno));
  struct stat info = {};
  if (::fstat(file.value, &info) != 0) fail(path, std::strerror(errno));
  if (!S_ISREG(info.st_mode)) fail(path, "not a regular file");
  if (info.st_size > 0) map(file.value, static_cast<std::size_t>(info.st_size));
}

mapped_file::mapped_file(mapped_file&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

mapped_file::~mapped_file() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void mapped_file::map(int fd, std::size_t size) {
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) fail(path_, std::string("cannot map: ") + std::strerror(errno));
  data_ = address;
  size_ = size;
}

}  // namespace rota_lm
