// Files as safetensors. The first byte says whether the rest is the file as it lies, or a header
// and data (split at the first NUL) to which the right length is put in front: few random files
// would get past it.
#include "engine/safetensors.hpp"

#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/target.hpp"

namespace {

using rota_fuzz::refused;
using rota_fuzz::require;
using namespace rota_lm;

/// A file without a name.
class memory_file {
 public:
  explicit memory_file(std::string_view bytes) : file_(::memfd_create("fuzz", 0)) {
    require(file_ >= 0 &&
                ::write(file_, bytes.data(), bytes.size()) == static_cast<::ssize_t>(bytes.size()),
            "memory for a file");
  }
  memory_file(const memory_file&) = delete;
  memory_file& operator=(const memory_file&) = delete;
  ~memory_file() { ::close(file_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

std::string file_of(std::string_view input) {
  if (input.empty() || input.front() % 2 == 0)
    return std::string(input.substr(input.empty() ? 0 : 1));
  input.remove_prefix(1);
  const std::size_t end = std::min(input.find('\0'), input.size());
  const std::uint64_t length = end;
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  file += input.substr(0, end);
  if (end < input.size()) file += input.substr(end + 1);
  return file;
}

void read_tensor(const safetensors_file& file, const std::string& name) {
  const tensor_info& t = file.info(name);
  const std::span<const std::byte> bytes = file.bytes(name);
  require(bytes.size() == t.end - t.begin, "a tensor has its bytes");
  std::size_t sum = 0;
  for (const std::byte b : bytes) sum += static_cast<std::size_t>(b);
  require(sum <= 255 * bytes.size(), "bytes can be read");
  refused([&] {
    file.check_weight(name, t.shape);
    std::vector<float> out(t.elements);
    file.read_f32(name, out);
  });
  refused([&] { require(file.read_i64(name).size() == t.elements, "I64 has its elements"); });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes = file_of({reinterpret_cast<const char*>(data), size});
  const memory_file memory(bytes);
  refused([&] {
    const safetensors_file file(memory.path());
    std::uint64_t total = 0;
    for (const auto& [name, info] : file.tensors()) {
      total += info.end - info.begin;
      read_tensor(file, name);
    }
    require(total < bytes.size(), "tensors lie apart, inside the file");
    refused([&] { file.info("no such tensor"); });
  });
  return 0;
}
