// Writer of the safetensors format, for what this engine makes itself.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace rota_lm {

/// Collects tensors, then writes them all at once. The numbers must outlive the writer.
class safetensors_writer {
 public:
  /// An F32 tensor; `shape` must hold as many elements as there are values.
  void add(std::string name, std::vector<std::uint64_t> shape, std::span<const float> values);
  void describe(std::string key, std::string value);

  /// Writes the file, whole or not at all.
  void write(const std::string& path) const;

 private:
  struct tensor {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::span<const float> values;
  };
  std::vector<tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace rota_lm
