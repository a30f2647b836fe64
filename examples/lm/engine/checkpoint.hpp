// The tensors of a checkpoint folder: model.safetensors, or shards named by
// model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "engine/safetensors.hpp"

namespace rota_lm {

/// Read access to all tensors of a checkpoint by name, wherever they lie.
class checkpoint {
 public:
  /// Opens and checks every file of the checkpoint in folder `directory`.
  explicit checkpoint(const std::string& directory);

  bool contains(const std::string& name) const { return home_.contains(name); }

  /// Throws unless tensor `name` exists, can be read as float and has exactly this shape.
  void check_weight(const std::string& name, std::span<const std::uint64_t> shape) const;
  /// Widens tensor `name` to float; see safetensors_file::read_f32.
  void read_f32(const std::string& name, std::span<float> out) const;

 private:
  const safetensors_file& home_of(const std::string& name) const;
  const safetensors_file& open_file(const std::string& name);
  void open_shards(const std::string& index);
  void check_single_home(const std::string& index) const;

  std::string directory_;
  std::map<std::string, safetensors_file> files_;  // a map: addresses of values stay
  std::map<std::string, const safetensors_file*> home_;
};

}  // namespace rota_lm
