#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <source_dir.hpp>

namespace rota_test {

/// A safetensors file of reference data. It is ours, so what is wrong with it simply throws.
class golden_file {
 public:
  /// name: below tests/goldens, e.g. "kvpress/llama_g2_n96.safetensors".
  explicit golden_file(const std::string& name) {
    std::ifstream in(std::string(rota_own::source_dir()) + "/tests/goldens/" + name,
                     std::ios::binary);
    if (!in) throw std::runtime_error("cannot open golden " + name);
    std::uint64_t size = 0;
    in.read(reinterpret_cast<char*>(&size), sizeof size);
    std::string header(size, ' ');
    in.read(header.data(), static_cast<std::streamsize>(size));
    index_ = nlohmann::json::parse(header);
    data_.assign(std::istreambuf_iterator<char>(in), {});
  }

  bool has(const std::string& tensor) const { return index_.contains(tensor); }
  std::vector<std::int64_t> shape(const std::string& tensor) const {
    return index_.at(tensor).at("shape").get<std::vector<std::int64_t>>();
  }
  std::vector<float> floats(const std::string& tensor) const { return read<float>(tensor, "F32"); }
  std::vector<std::int64_t> integers(const std::string& tensor) const {
    return read<std::int64_t>(tensor, "I64");
  }

 private:
  template <class T>
  std::vector<T> read(const std::string& tensor, const char* type) const {
    const auto& entry = index_.at(tensor);
    if (entry.at("dtype") != type) throw std::runtime_error(tensor + " has another type");
    const auto at = entry.at("data_offsets").get<std::vector<std::size_t>>();
    std::vector<T> values((at.at(1) - at.at(0)) / sizeof(T));
    if (at[1] > data_.size()) throw std::runtime_error(tensor + " is cut off");
    std::memcpy(values.data(), data_.data() + at[0], values.size() * sizeof(T));
    return values;
  }

  nlohmann::json index_;
  std::vector<char> data_;
};

}  // namespace rota_test
