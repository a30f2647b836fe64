// The tensors of a checkpoint folder: model.safetensors, or shards named by
// model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/safetensors.hpp"

namespace rota_lm {

/// Read access to all tensors of a checkpoint by name, wherever they lie.
class checkpoint {
 public:
  /// Opens and checks every file of the checkpoint in folder `directory`.
  explicit checkpoint(const std::string& directory) : directory_(directory) {
    const std::string single = directory + "/model.safetensors";
    const std::string index = single + ".index.json";
    if (std::error_code ignored; std::filesystem::exists(index, ignored)) {
      open_shards(index);
    } else {
      open_file("model.safetensors");
      for (const auto& [name, info] : files_.begin()->second.tensors()) {
        home_.emplace(name, &files_.begin()->second);
      }
    }
  }

  bool contains(const std::string& name) const { return home_.contains(name); }

  /// Throws unless tensor `name` exists, can be read as float and has exactly this shape.
  void check_weight(const std::string& name, std::span<const std::uint64_t> shape) const {
    home_of(name).check_weight(name, shape);
  }
  /// Widens tensor `name` to float; see safetensors_file::read_f32.
  void read_f32(const std::string& name, std::span<float> out) const {
    home_of(name).read_f32(name, out);
  }

 private:
  const safetensors_file& home_of(const std::string& name) const {
    const auto found = home_.find(name);
    if (found == home_.end()) fail(directory_, "no tensor \"" + printable(name) + "\"");
    return *found->second;
  }

  const safetensors_file& open_file(const std::string& name) {
    const auto found = files_.find(name);
    if (found != files_.end()) return found->second;
    return files_.emplace(name, safetensors_file(directory_ + "/" + name)).first->second;
  }

  void open_shards(const std::string& index) {
    const json document = read_json(index, {std::size_t{64} << 20, 8});
    const json_field map = json_field(document, index).at("weight_map");
    if (map.object().empty()) fail(map.where(), "is empty");
    for (const auto& [tensor, shard] : map.object().items()) {
      const json_field field(shard, index + ": weight_map." + printable(tensor, 120));
      const safetensors_file& file = open_file(plain_name(field));
      if (!file.contains(tensor)) {
        fail(field.where(), "is not in the shard " + printable(field.string()));
      }
      home_.emplace(tensor, &file);
    }
    check_single_home(index);
  }

  /// A shard is a file beside its index; anything that could name another place is refused.
  static const std::string& plain_name(const json_field& field) {
    const std::string& name = field.string();
    const bool plain = !name.empty() && name.size() < 256 && name.front() != '.' &&
                       name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
    if (!plain) fail(field.where(), "shard \"" + printable(name) + "\" is not a plain file name");
    return name;
  }

  void check_single_home(const std::string& index) const {
    for (const auto& [file_name, file] : files_) {
      for (const auto& [tensor, info] : file.tensors()) {
        const auto found = home_.find(tensor);
        if (found != home_.end() && found->second != &file) {
          fail(index, "tensor \"" + printable(tensor) + "\" is in two shards");
        }
      }
    }
  }

  std::string directory_;
  std::map<std::string, safetensors_file> files_;  // a map: addresses of values stay
  std::map<std::string, const safetensors_file*> home_;
};

}  // namespace rota_lm
