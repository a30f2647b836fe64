// Checkpoints whose files contradict each other or their configuration: read as transformers does,
// or refused by name.
#include "engine/checkpoint.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/config.hpp"
#include "engine/mapped_file.hpp"
#include "engine/weights.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::safetensors_bytes;
using rota_lm_test::temp_folder;

namespace {

using header = nlohmann::ordered_json;

std::string micro(const std::string& name) {
  return std::string(rota_own::source_dir()) + "/tests/goldens/micro/" + name;
}

/// A micro checkpoint in memory, to be changed and written.
struct altered {
  json config;
  header tensors;
  std::string data;

  explicit altered(const std::string& name) {
    const mapped_file text(micro(name) + "/config.json"), file(micro(name) + "/model.safetensors");
    config = json::parse(text.text());
    std::uint64_t length = 0;
    std::memcpy(&length, file.bytes().data(), 8);
    tensors = header::parse(file.text().substr(8, length));
    data = file.text().substr(8 + length);
  }

  /// The bytes of a tensor, to be written over.
  char* at(const std::string& name) {
    return data.data() + tensors.at(name).at("data_offsets").at(0).get<std::size_t>();
  }
  /// Appends a tensor that is like another but for its data.
  void add(const std::string& name, const std::string& like, const std::string& bytes) {
    tensors[name] = tensors.at(like);
    tensors[name]["data_offsets"] = {data.size(), data.size() + bytes.size()};
    data += bytes;
  }
  std::string bytes_of(const std::string& name) const {
    const auto& span = tensors.at(name).at("data_offsets");
    const auto begin = span.at(0).get<std::size_t>();
    return data.substr(begin, span.at(1).get<std::size_t>() - begin);
  }
  void write(const temp_folder& folder, const std::string& file = "model.safetensors") const {
    folder.write("config.json", config.dump());
    folder.write(file, safetensors_bytes(tensors.dump(), data));
  }
};

model_weights load(const std::string& folder) {
  return load_weights(checkpoint(folder), load_config(folder));
}

std::string refusal(const altered& a) {
  const temp_folder folder;
  a.write(folder);
  return error_of([&] { load(folder.path()); });
}

constexpr const char* embedding = "model.embed_tokens.weight";
constexpr const char* head = "lm_head.weight";

}  // namespace

TEST_CASE("a single file comes before an index, which is stale then") {
  const temp_folder folder;
  altered good("qwen3"), other("qwen3");
  good.write(folder);
  std::memset(other.at(embedding), 0, 64);
  other.write(folder, "model-00001-of-00001.safetensors");
  json map;
  for (const auto& [name, entry] : other.tensors.items())
    if (name != "__metadata__") map[name] = "model-00001-of-00001.safetensors";
  folder.write("model.safetensors.index.json", json{{"weight_map", map}}.dump());
  CHECK(load(folder.path()).embedding == load(micro("qwen3")).embedding);
  std::filesystem::remove(folder.path() + "/model.safetensors");
  CHECK(load(folder.path()).embedding != load(micro("qwen3")).embedding);
}

TEST_CASE("tied embeddings give way to a head of the file's own") {
  const model_weights untied = load(micro("qwen3"));
  {
    const temp_folder folder;
    altered a("qwen3");
    a.config["tie_word_embeddings"] = true;
    a.write(folder);
    CHECK(load(folder.path()).output() == untied.head.weight);
    CHECK(untied.head.weight != untied.embedding);
  }
  const model_weights tied = load(micro("qwen2"));
  CHECK(&tied.output() == &tied.embedding);
  const temp_folder folder;
  altered same("qwen2");
  same.add(head, embedding, same.bytes_of(embedding));
  same.write(folder);
  const model_weights twice = load(folder.path());
  CHECK(&twice.output() == &twice.embedding);  // the same numbers: no memory for two
  altered alone("qwen2");                      // saved under the other of the two names
  alone.tensors[head] = alone.tensors.at(embedding);
  alone.tensors.erase(embedding);
  alone.write(folder);
  const model_weights renamed = load(folder.path());
  CHECK(renamed.embedding == tied.embedding);
  CHECK(&renamed.output() == &renamed.embedding);
  alone.tensors.erase(head);
  alone.data.clear();
  alone.tensors = {{"x", {{"dtype", "U8"}, {"shape", {0}}, {"data_offsets", {0, 0}}}}};
  CHECK(one_line_with(refusal(alone), "no tensor \"model.embed_tokens.weight\""));
}

TEST_CASE("weights at odd addresses, beside tensors of unknown dtypes and null metadata") {
  for (const char* name : {"qwen2", "qwen3", "mistral"}) {  // F32, BF16, F16
    CAPTURE(name);
    altered a(name);
    header moved = {{"__metadata__", nullptr}};
    moved["odd"] = {{"dtype", "F4"}, {"shape", {2}}, {"data_offsets", {0, 1}}};
    for (const auto& [key, entry] : a.tensors.items()) {
      if (key == "__metadata__") continue;
      moved[key] = entry;
      for (auto& offset : moved[key]["data_offsets"]) offset = offset.get<std::uint64_t>() + 1;
    }
    a.tensors = moved;
    a.data.insert(0, 1, '\7');
    for (const char* space : {"", " "}) {  // and the header of either parity
      const temp_folder folder;
      folder.write("config.json", a.config.dump());
      folder.write("model.safetensors", safetensors_bytes(moved.dump() + space, a.data));
      const model_weights got = load(folder.path()), want = load(micro(name));
      CHECK(got.embedding == want.embedding);
      CHECK(got.layers.back().down.weight == want.layers.back().down.weight);
      CHECK(got.output() == want.output());
    }
  }
}

TEST_CASE("a weight that is not finite is named when it is loaded") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const char* name : {embedding, "model.layers.1.mlp.down_proj.weight",
                             "model.layers.0.self_attn.k_proj.bias", "model.norm.weight"}) {
      altered a("qwen2");
      std::memcpy(a.at(name) + 4 * 5, &bad, 4);
      const std::string said = refusal(a);
      CHECK(one_line_with(said, "tensor \"" + std::string(name) + "\""));
      CHECK(one_line_with(said, "number 5 of"));
      CHECK(one_line_with(said, "not finite"));
    }
  }
  altered narrow("qwen3"), half("mistral");  // BF16, F16
  std::memcpy(narrow.at(head), "\x80\x7f", 2);
  std::memcpy(half.at(head) + 2, "\x00\x7e", 2);
  CHECK(one_line_with(refusal(narrow), "number 0 of"));
  CHECK(one_line_with(refusal(half), "number 1 of"));
}

TEST_CASE("fewer layers than the files have are refused, and more of course") {
  altered fewer("qwen3"), more("qwen3");
  fewer.config["num_hidden_layers"] = 1;
  fewer.config.erase("layer_types");
  CHECK(one_line_with(refusal(fewer),
                      "config.json: num_hidden_layers is 1, but the checkpoint has "
                      "the tensor \"model.layers.1."));
  more.config["num_hidden_layers"] = 3;
  more.config.erase("layer_types");
  CHECK(one_line_with(refusal(more), "no tensor \"model.layers.2."));
}

TEST_CASE("pickled checkpoints are refused with what to do") {
  for (const char* name :
       {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.pth"}) {
    const temp_folder folder;
    folder.write(name, "PK");
    const std::string said = error_of([&] { checkpoint c(folder.path()); });
    CHECK(one_line_with(said, name));
    CHECK(one_line_with(said, "safe_serialization=True"));
  }
  const temp_folder empty;
  CHECK(one_line_with(error_of([&] { checkpoint c(empty.path()); }), "model.safetensors: cannot"));
}
