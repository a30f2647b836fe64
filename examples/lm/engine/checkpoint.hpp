// The tensors of a checkpoint folder: model.safetensors or, where there is none, the shards that
// model.safetensors.index.json names. An index beside a single file is stale; transformers looks
// for the single file first as well.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "engine/safetensors.hpp"

namespace rota_lm {

/// Throws where a folder has no file `wanted` but one of PyTorch's pickled ones, and says what to
/// do.
void refuse_pickled(const std::string& directory, const std::string& wanted);

/// Read access to all tensors of a checkpoint by name, wherever they lie.
class checkpoint {
 public:
  /// Opens and checks every file of the checkpoint in folder `directory`.
  explicit checkpoint(const std::string& directory);

  bool contains(const std::string& name) const { return home_.contains(name); }

  /// Throws unless tensor `name` exists, can be read as float and has exactly this shape.
  void check_weight(const std::string& name, std::span<const std::uint64_t> shape) const;
  /// Widens tensor `name` to float; see safetensors_file::read_weight.
  void read_weight(const std::string& name, std::span<float> out) const;

  /// The files' names of all tensors, and the file that each lies in.
  const std::map<std::string, const safetensors_file*>& tensors() const { return home_; }
  const std::string& directory() const { return directory_; }

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
