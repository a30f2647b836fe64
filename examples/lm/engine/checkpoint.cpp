#include "engine/checkpoint.hpp"

#include <cstddef>
#include <filesystem>
#include <system_error>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"

namespace rota_lm {

namespace {

/// A shard is a file beside its index; anything that could name another place is refused.
const std::string& plain_name(const json_field& field) {
  const std::string& name = field.string();
  const bool plain = !name.empty() && name.size() < 256 && name.front() != '.' &&
                     name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (!plain) fail(field.where(), "shard \"" + printable(name) + "\" is not a plain file name");
  return name;
}

}  // namespace

void refuse_pickled(const std::string& directory, const std::string& wanted) {
  std::error_code ignored;
  if (std::filesystem::exists(directory + "/" + wanted, ignored)) return;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool pickled = name.ends_with(".bin") || name.ends_with(".bin.index.json") ||
                         name.ends_with(".pth") || name.ends_with(".pt");
    if (pickled) {
      fail(directory, "holds " + printable(name, 80) + " but no " + wanted +
                          ": only safetensors are read; save it again with "
                          "save_pretrained(folder, safe_serialization=True)");
    }
  }
}

checkpoint::checkpoint(const std::string& directory) : directory_(directory) {
  const std::string single = directory + "/model.safetensors";
  const std::string index = single + ".index.json";
  std::error_code ignored;
  if (!std::filesystem::exists(single, ignored) && std::filesystem::exists(index, ignored)) {
    open_shards(index);
    return;
  }
  refuse_pickled(directory, "model.safetensors");
  const safetensors_file& file = open_file("model.safetensors");
  for (const auto& [name, info] : file.tensors()) home_.emplace(name, &file);
}

void checkpoint::check_weight(const std::string& name, std::span<const std::uint64_t> shape) const {
  home_of(name).check_weight(name, shape);
}

void checkpoint::read_weight(const std::string& name, std::span<float> out) const {
  home_of(name).read_weight(name, out);
}

const safetensors_file& checkpoint::home_of(const std::string& name) const {
  const auto found = home_.find(name);
  if (found == home_.end()) fail(directory_, "no tensor \"" + printable(name) + "\"");
  return *found->second;
}

const safetensors_file& checkpoint::open_file(const std::string& name) {
  const auto found = files_.find(name);
  if (found != files_.end()) return found->second;
  return files_.emplace(name, safetensors_file(directory_ + "/" + name)).first->second;
}

void checkpoint::open_shards(const std::string& index) {
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

void checkpoint::check_single_home(const std::string& index) const {
  for (const auto& [file_name, file] : files_) {
    for (const auto& [tensor, info] : file.tensors()) {
      const auto found = home_.find(tensor);
      if (found != home_.end() && found->second != &file) {
        fail(index, "tensor \"" + printable(tensor) + "\" is in two shards");
      }
    }
  }
}

}  // namespace rota_lm
