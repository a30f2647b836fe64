// The micro checkpoint, said to be good for longer contexts: its tokens are single letters.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/json.hpp"
#include "temp_folder.hpp"

namespace rota_lm_test {

inline std::string read_text(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

/// Lasts as long as the process.
inline const std::string& long_micro() {
  static const temp_folder folder;
  static const std::string path = [] {
    const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";
    for (const char* name : {"/config.json", "/tokenizer.json", "/model.safetensors"}) {
      std::filesystem::copy_file(micro + name, folder.path() + name);
    }
    auto config = rota_lm::json::parse(read_text(micro + "/config.json"));
    config["max_position_embeddings"] = 4096;
    folder.write("config.json", config.dump());
    return folder.path();
  }();
  return path;
}

}  // namespace rota_lm_test
