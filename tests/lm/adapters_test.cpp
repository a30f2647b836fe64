// LoRA adapters in PEFT's files, applied by the engine.
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/adapter_file.hpp"
#include "engine/model.hpp"
#include "engine/model_tag.hpp"
#include "engine/plain_cache.hpp"
#include "engine/safetensors.hpp"
#include "micro_folder.hpp"
#include "support/random.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::read_text;
using rota_lm_test::temp_folder;
using rota_test::random_source;

namespace {

const std::string goldens = std::string(rota_own::source_dir()) + "/tests/goldens/";

matrix logits_of(const model& lm, const std::vector<token_id>& ids) {
  plain_cache cache(lm.config());
  return lm.forward(ids, cache, model::all_tokens);
}

std::vector<token_id> ids_of(const std::string& golden) {
  std::vector<token_id> out;
  for (const std::int64_t id : safetensors_file(golden).read_i64("input_ids"))
    out.push_back(static_cast<token_id>(id));
  return out;
}

void adapt(model& lm, const std::string& folder) {
  lm.adapt(std::make_shared<lora_adapters>(load_adapters(folder, lm.config())));
}

/// Adapters of every projection, random.
lora_adapters random_adapters(const model_config& c, const lora_shape& like) {
  random_source rng(7);
  lora_adapters::map_type out;
  for (std::size_t l = 0; l < c.layers; ++l)
    for (const auto& [t, name] : target_names) {
      adapter_weights a{like, {}};
      const auto [in, width] = shape_of(t, c);
      a.shape.in = static_cast<rota::index_t>(in);
      a.shape.out = static_cast<rota::index_t>(width);
      for (rota::index_t i = 0; i < a.shape.parameters(); ++i)
        a.numbers.push_back(0.2f * rng.normal());
      out.emplace(std::pair(l, t), std::move(a));
    }
  return lora_adapters(std::move(out));
}

lora_shape routed_shape() {
  return {0, 0, 16, 8, 2, gate_kind::sigmoid, 12.0};
}

/// A copy of the plain golden adapter whose configuration is changed.
template <class Change>
std::string changed_config(const temp_folder& folder, Change&& change) {
  std::filesystem::copy_file(goldens + "peft/plain/adapter_model.safetensors",
                             folder.path() + "/adapter_model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  auto config = json::parse(read_text(goldens + "peft/plain/adapter_config.json"));
  change(config);
  return folder.write("adapter_config.json", config.dump());
}

std::string message_of(const std::string& folder, const model_config& c) {
  return error_of([&] { static_cast<void>(load_adapters(folder, c)); });
}

}  // namespace

TEST_CASE("adapters that PEFT wrote give PEFT's logits") {
  for (const auto& golden : {std::pair("qwen2", "plain"), std::pair("mistral", "rslora")}) {
    CAPTURE(golden.second);
    const std::string folder = goldens + "peft/" + golden.second;
    model lm = model::load(goldens + "micro/" + golden.first);
    const std::vector<token_id> ids = ids_of(folder + "/golden.safetensors");
    const matrix without = logits_of(lm, ids);
    adapt(lm, folder);
    const matrix with = logits_of(lm, ids);
    std::vector<float> expected(static_cast<std::size_t>(with.size()));
    safetensors_file(folder + "/golden.safetensors").read_f32("logits", expected);
    float worst = 0;
    for (Eigen::Index i = 0; i < with.size(); ++i) {
      const float difference = std::abs(with.data()[i] - expected[static_cast<std::size_t>(i)]);
      if (!(difference <= worst)) worst = difference;
    }
    CHECK(worst < 2e-4f);
    CHECK((with - without).cwiseAbs().maxCoeff() > 0.1f);
  }
}

TEST_CASE("adapters come back from their files, plain and routed") {
  model lm = model::load(goldens + "micro/qwen2");
  const std::vector<token_id> ids = ids_of(goldens + "micro/qwen2/golden.safetensors");
  for (const lora_shape& shape :
       {lora_shape{0, 0, 4, 1, 1, gate_kind::softmax, 6.0}, routed_shape()}) {
    const temp_folder folder;
    const auto made = std::make_shared<lora_adapters>(random_adapters(lm.config(), shape));
    save_adapters(*made, "micro/qwen2", folder.path());
    lm.adapt(made);
    const matrix before = logits_of(lm, ids);
    const std::uint64_t tag = model_tag(lm);
    adapt(lm, folder.path());
    CHECK(logits_of(lm, ids) == before);
    CHECK(model_tag(lm) == tag);
    lm.adapt(nullptr);
    CHECK(model_tag(lm) != tag);
    const auto config = json::parse(read_text(folder.path() + "/adapter_config.json"));
    CHECK((config["peft_type"] == "LORA") == !shape.routed());
  }
}

TEST_CASE("a token's logits do not depend on how many tokens run with it, adapters and all") {
  model lm = model::load(goldens + "micro/qwen3");
  lm.adapt(std::make_shared<lora_adapters>(random_adapters(lm.config(), routed_shape())));
  const std::vector<token_id> ids = {3, 14, 15, 92, 65, 35, 89, 79};
  const matrix whole = logits_of(lm, ids);
  plain_cache cache(lm.config());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const matrix one = lm.forward(std::span(ids).subspan(i, 1), cache);
    CHECK((one.row(0) - whole.row(static_cast<Eigen::Index>(i))).cwiseAbs().maxCoeff() < 1e-4f);
  }
}

TEST_CASE("adapters that do not fit are refused with a sentence") {
  const model_config c = load_config(goldens + "micro/qwen2");
  const temp_folder folder;
  const auto refused = [&](auto&& change, const char* what) {
    changed_config(folder, change);
    const std::string said = message_of(folder.path(), c);
    CAPTURE(said);
    CHECK(one_line_with(said, what));
  };
  refused([](json& j) { j["r"] = 5; }, "shape");
  refused([](json& j) { j["r"] = 0; }, "whole number");
  refused([](json& j) { j["r"] = -3; }, "whole number");
  refused([](json& j) { j["lora_alpha"] = "six"; }, "lora_alpha");
  refused([](json& j) { j["use_dora"] = true; }, "use_dora");
  for (const char* set : {"pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"}) {
    refused([&](json& j) { j["init_lora_weights"] = set; },
            "adapter_config.json: init_lora_weights");
    refused([&](json& j) { j["init_lora_weights"] = set; }, "path_initial_model_for_weight_conv");
  }
  refused([](json& j) { j["init_lora_weights"] = 3; }, "init_lora_weights: must be a string");
  refused([](json& j) { j["loftq_config"] = {{"loftq_bits", 4}}; }, "loftq_config: is not");
  refused([](json& j) { j["velora_config"] = {{"groups", 4}}; }, "velora_config: is not supported");
  refused([](json& j) { j["what_comes_next"] = 1; }, "what_comes_next: is not supported");
  refused([](json& j) { j["layers_to_transform"] = {0}; }, "layers_to_transform");
  refused([](json& j) { j["target_modules"] = ".*proj"; }, "target_modules: must be a list");
  for (const double alpha : {1e39, -1e39, 1e300})
    refused([&](json& j) { j["lora_alpha"] = alpha; }, "lora_alpha");
  refused([](json& j) { j["rank_pattern"] = {{"q_proj", 8}}; }, "rank_pattern");
  refused([](json& j) { j["bias"] = "all"; }, "bias");
  refused([](json& j) { j["peft_type"] = "IA3"; }, "IA3");
  refused([](json& j) { j["target_modules"] = {"lm_head"}; }, "lm_head");
  refused([](json& j) { j["target_modules"] = json::array(); }, "names no module");
  refused([](json& j) { j["target_modules"] = {"q_proj"}; },
          "is not what adapter_config.json explains");
  refused([](json& j) { j.erase("r"); }, "\"r\"");
  const auto routed = [](int n, int k, const char* gate) {
    return [=](json& j) {
      j["peft_type"] = "ROTA_ROUTED_LORA";
      j["rota"] = {{"subspaces", n}, {"active", k}, {"gate", gate}};
    };
  };
  refused(routed(3, 1, "softmax"), "multiple of 3");
  refused(routed(4, 5, "softmax"), "more than the 4");
  refused(routed(4, 2, "relu"), "softmax or sigmoid");
  refused(routed(4, 2, "softmax"), "lora_router");  // the tensors are not there
  refused(routed(2, 2, "softmax"), "lora_router");
  refused([](json& j) { j["peft_type"] = "ROTA_ROUTED_LORA"; }, "rota");
  CHECK(one_line_with(message_of(goldens + "peft/plain", load_config(goldens + "micro/llama")),
                      "tensor"));
  CHECK(one_line_with(message_of("/nowhere", c), "/nowhere"));
}

TEST_CASE("settings that do not change a trained adapter are accepted") {
  const model_config c = load_config(goldens + "micro/qwen2");
  const temp_folder folder;
  for (const json& init : {json(true), json(false), json("gaussian"), json("orthogonal"),
                           json("mica"), json("eva"), json(nullptr)}) {
    changed_config(folder, [&](json& j) {
      j["init_lora_weights"] = init;
      j["peft_version"] = "0.21.2";
      j["qalora_group_size"] = 16;
      j["ensure_weight_tying"] = false;
      j["kasa_config"] = nullptr;
    });
    CHECK(message_of(folder.path(), c) == "");
  }
}

TEST_CASE("pickled adapters and files of two runs are refused") {
  const model lm = model::load(goldens + "micro/qwen2");
  const temp_folder folder, other;
  changed_config(folder, [](json&) {});
  std::filesystem::rename(folder.path() + "/adapter_model.safetensors",
                          folder.path() + "/adapter_model.bin");
  CHECK(one_line_with(message_of(folder.path(), lm.config()), "holds adapter_model.bin"));
  save_adapters(random_adapters(lm.config(), {0, 0, 4, 1, 1, gate_kind::softmax, 6.0}), "b\xff",
                folder.path(), "one");
  save_adapters(random_adapters(lm.config(), {0, 0, 4, 1, 1, gate_kind::softmax, 7.0}), "b",
                other.path(), "two");
  CHECK(message_of(folder.path(), lm.config()) == "");
  CHECK(adapters_run(folder.path()) == "one");
  std::filesystem::copy_file(other.path() + "/adapter_config.json",
                             folder.path() + "/adapter_config.json",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(one_line_with(message_of(folder.path(), lm.config()), "does not belong to adapter_model"));
}

TEST_CASE("a truncated or altered adapter file is refused") {
  const model_config c = load_config(goldens + "micro/qwen2");
  const temp_folder folder;
  changed_config(folder, [](json&) {});
  CHECK(message_of(folder.path(), c).empty());
  const std::string bytes = read_text(goldens + "peft/plain/adapter_model.safetensors");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() - 1}) {
    folder.write("adapter_model.safetensors", bytes.substr(0, size));
    CHECK_FALSE(message_of(folder.path(), c).empty());
  }
  std::string poisoned = bytes;  // the last number becomes a NaN
  poisoned.replace(poisoned.size() - 4, 4, "\xff\xff\xff\x7f");
  folder.write("adapter_model.safetensors", poisoned);
  CHECK(one_line_with(message_of(folder.path(), c), "not finite"));
}
