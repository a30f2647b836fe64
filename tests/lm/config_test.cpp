// config.json: what is read, what is refused by name.
#include "engine/config.hpp"

#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "temp_folder.hpp"

namespace {

using rota_lm::architecture;
using rota_lm::json;
using rota_lm::model_config;
using rota_lm::parse_config;
using rota_lm::rope_kind;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;

json base(const std::string& type) {
  return {{"model_type", type},       {"vocab_size", 100},
          {"hidden_size", 64},        {"intermediate_size", 96},
          {"num_hidden_layers", 4},   {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-5},     {"max_position_embeddings", 512}};
}

/// The base configuration with some fields changed; null removes nothing, it is written.
model_config with(const std::string& type, const json& changes) {
  json document = base(type);
  if (!changes.is_null()) document.update(changes);
  return parse_config(document, "config.json");
}

std::string refusal(const std::string& type, const json& changes) {
  return error_of([&] { with(type, changes); });
}

std::string without(const std::string& key) {
  json document = base("qwen2");
  document.erase(key);
  return error_of([&] { parse_config(document, "config.json"); });
}

}  // namespace

TEST_CASE("architectures by type and by class") {
  CHECK(with("qwen2", {}).arch == architecture::qwen2);
  CHECK(with("qwen3", {{"architectures", {"Qwen3ForCausalLM"}}}).arch == architecture::qwen3);
  CHECK(with("mistral", {}).arch == architecture::mistral);
  CHECK(with("llama", {}).arch == architecture::llama);
  CHECK(one_line_with(refusal("gpt2", {}), "architecture \"gpt2\" is not supported"));
  CHECK(one_line_with(refusal("llama", {{"architectures", {"MixtralForCausalLM"}}}), "Mixtral"));
  CHECK(one_line_with(refusal("llama", {{"architectures", {"Qwen2ForCausalLM"}}}), "contradicts"));
  CHECK(one_line_with(refusal("llama", {{"architectures", json::array()}}), "one architecture"));
  CHECK(one_line_with(without("model_type"), "no field \"model_type\""));
}

TEST_CASE("sizes and heads") {
  const model_config derived = with("qwen2", {{"head_dim", nullptr}});
  CHECK(derived.head_dim == 16);
  CHECK(derived.group() == 2);
  CHECK(with("mistral", {{"head_dim", 32}}).head_dim == 32);
  CHECK(with("qwen3", {}).head_dim == 128);
  CHECK(with("llama", {{"num_key_value_heads", nullptr}}).kv_heads == 4);
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads"}) {
    CHECK(one_line_with(without(key), "no field \"" + std::string(key) + "\""));
    for (const json& wrong : {json(0), json(-1), json(1e3), json("4"), json(int64_t{1} << 40)}) {
      CHECK(one_line_with(refusal("qwen2", {{key, wrong}}), "config.json: " + std::string(key)));
    }
  }
  CHECK(one_line_with(refusal("llama", {{"num_key_value_heads", 3}}), "does not divide"));
  CHECK(one_line_with(refusal("llama", {{"num_key_value_heads", 8}}), "must be in [1, 4]"));
  CHECK(one_line_with(refusal("llama", {{"hidden_size", 66}}), "does not divide hidden_size"));
  CHECK(one_line_with(refusal("llama", {{"head_dim", 15}}), "must be even"));
  CHECK(one_line_with(refusal("llama", {{"hidden_size", 60}}), "must be even"));
  CHECK(one_line_with(refusal("llama", {{"rms_norm_eps", -1}}), "rms_norm_eps"));
  CHECK(one_line_with(refusal("llama", {{"hidden_act", "gelu"}}), "activation \"gelu\""));
  CHECK(one_line_with(refusal("llama", {{"quantization_config", {{"bits", 4}}}}), "quantized"));
}

TEST_CASE("biases, norms and tied embeddings by architecture") {
  const model_config qwen2 = with("qwen2", {{"attention_bias", true}, {"mlp_bias", true}});
  CHECK((qwen2.qkv_bias && !qwen2.output_bias && !qwen2.mlp_bias && !qwen2.qk_norm));
  const model_config qwen3 = with("qwen3", {{"attention_bias", true}});
  CHECK((qwen3.qkv_bias && qwen3.output_bias && !qwen3.mlp_bias && qwen3.qk_norm));
  const model_config llama = with("llama", {{"attention_bias", true}, {"mlp_bias", true}});
  CHECK((llama.qkv_bias && llama.output_bias && llama.mlp_bias && !llama.qk_norm));
  const model_config mistral = with("mistral", {{"tie_word_embeddings", true}});
  CHECK((!mistral.qkv_bias && !mistral.output_bias && mistral.tie_embeddings));
}

TEST_CASE("sliding windows by architecture") {
  using windows = std::vector<std::size_t>;
  CHECK(with("mistral", {{"sliding_window", 8}}).sliding_window == windows{8, 8, 8, 8});
  CHECK(with("mistral", {{"sliding_window", nullptr}}).sliding_window == windows{0, 0, 0, 0});
  CHECK(with("mistral", {}).sliding_window == windows{4096, 4096, 4096, 4096});
  CHECK(with("llama", {{"sliding_window", 8}}).sliding_window == windows{0, 0, 0, 0});
  CHECK(with("qwen2", {{"sliding_window", 8}, {"max_window_layers", 1}}).sliding_window ==
        windows{0, 0, 0, 0});
  const json qwen = {{"use_sliding_window", true}, {"sliding_window", 8}, {"max_window_layers", 1}};
  CHECK(with("qwen2", qwen).sliding_window == windows{0, 8, 8, 8});
  json typed = qwen;
  typed["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                          "full_attention"};
  CHECK(with("qwen3", typed).sliding_window == windows{8, 0, 8, 0});
  CHECK(one_line_with(refusal("mistral", typed), "contradicts sliding_window"));
  typed["use_sliding_window"] = false;
  CHECK(one_line_with(refusal("qwen3", typed), "no sliding_window is in use"));
  typed["layer_types"] = {"full_attention"};
  CHECK(one_line_with(refusal("qwen3", typed), "one entry for each layer"));
  typed["layer_types"] = {"linear_attention", "a", "b", "c"};
  CHECK(one_line_with(refusal("qwen3", typed), "layer type \"linear_attention\""));
  CHECK(one_line_with(refusal("mistral", {{"sliding_window", 0}}), "sliding_window"));
}

TEST_CASE("rope in both spellings") {
  CHECK(with("llama", {}).rope.theta == 10000.0);
  CHECK(with("llama", {{"rope_theta", 5e5}}).rope.theta == 5e5);
  const json newer = {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}}}};
  CHECK(with("llama", newer).rope.theta == 1e6);
  CHECK(with("llama", newer).rope.kind == rope_kind::plain);
  const auto scaled = [](const json& scaling) {
    return with("llama", {{"rope_scaling", scaling}, {"rope_theta", 5e5}}).rope;
  };
  const auto linear = scaled({{"type", "linear"}, {"factor", 2.0}});
  CHECK((linear.kind == rope_kind::linear && linear.factor == 2.0 && linear.theta == 5e5));
  const auto llama3 = scaled({{"rope_type", "llama3"},
                              {"factor", 8.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0}});
  CHECK((llama3.kind == rope_kind::llama3 && llama3.original_positions == 512));
  const auto yarn =
      scaled({{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 128}});
  CHECK((yarn.kind == rope_kind::yarn && yarn.original_positions == 128));
  CHECK(yarn.attention_factor == doctest::Approx(1.1386294));
}

TEST_CASE("rope scalings that are not implemented are refused by name") {
  const auto scaling = [](const json& value) {
    return refusal("llama", {{"rope_scaling", value}});
  };
  for (const char* type : {"dynamic", "longrope", "su", "mrope", "proportional"}) {
    CHECK(one_line_with(scaling({{"rope_type", type}, {"factor", 2.0}}),
                        "rope type \"" + std::string(type) + "\" is not supported"));
  }
  CHECK(one_line_with(scaling({{"type", "linear"}}), "no field \"factor\""));
  CHECK(one_line_with(scaling({{"type", "linear"}, {"factor", 0.5}}), "factor: is 0.5"));
  CHECK(one_line_with(scaling({{"rope_type", "llama3"}, {"factor", 2.0}}), "low_freq_factor"));
  CHECK(one_line_with(scaling({{"rope_type", "llama3"},
                               {"factor", 2.0},
                               {"low_freq_factor", 4.0},
                               {"high_freq_factor", 4.0}}),
                      "must be above low_freq_factor"));
  CHECK(one_line_with(scaling({{"full_attention", {{"rope_type", "default"}}}}), "per layer type"));
  CHECK(one_line_with(scaling({{"partial_rotary_factor", 0.5}}), "partial_rotary_factor"));
  CHECK(one_line_with(refusal("llama", {{"partial_rotary_factor", 0.5}}), "partial_rotary"));
  CHECK(one_line_with(refusal("llama", {{"rope_theta", 0}}), "rope_theta"));
  CHECK(one_line_with(scaling("linear"), "must be an object"));
}

TEST_CASE("end tokens are an id or a list, and generation_config.json has the last word") {
  CHECK(with("llama", {{"eos_token_id", 7}}).eos == std::vector<rota_lm::token_id>{7});
  CHECK(with("llama", {{"eos_token_id", {7, 8}}}).eos == std::vector<rota_lm::token_id>{7, 8});
  CHECK(with("llama", {{"eos_token_id", nullptr}}).eos.empty());
  CHECK(one_line_with(refusal("llama", {{"eos_token_id", 100}}), "eos_token_id"));
  const rota_lm_test::temp_folder folder;
  CHECK(one_line_with(error_of([&] { rota_lm::load_config(folder.path()); }), "config.json"));
  folder.write("config.json", base("llama").dump());
  folder.write("generation_config.json", R"({"eos_token_id":[3]})");
  CHECK(rota_lm::load_config(folder.path()).eos == std::vector<rota_lm::token_id>{3});
}

TEST_CASE("yarn and linear scaling extend a model's reach") {
  const auto reach = [](const json& scaling, std::size_t positions = 64) {
    return with("qwen2", {{"rope_scaling", scaling}, {"max_position_embeddings", positions}})
        .max_positions;
  };
  const json yarn = {
      {"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
  CHECK(reach(yarn) == 256);
  CHECK(reach(yarn, 256) == 256);  // counted already
  CHECK(reach(yarn, 512) == 512);
  CHECK(reach({{"type", "yarn"}, {"factor", 1.5}}, 33) == 49);
  CHECK(reach({{"type", "linear"}, {"factor", 2.0}}) == 128);
  CHECK(reach({{"type", "linear"}, {"factor", 2.0}, {"original_max_position_embeddings", 50}}) ==
        100);
  CHECK(reach({{"type", "yarn"}, {"factor", 1e6}}, 1 << 30) == std::size_t{1} << 31);
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 64}};
  CHECK(reach(llama3, 512) == 512);
  CHECK(reach(nullptr) == 64);
  json unknown = base("qwen2");
  unknown.erase("max_position_embeddings");
  unknown["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  CHECK(parse_config(unknown, "config.json").max_positions == 0);
}

TEST_CASE("a huge sliding window is no window, and none overflows") {
  for (const std::int64_t window : {INT64_MAX, INT64_MAX - 20, std::int64_t{1} << 40}) {
    const model_config c = with("mistral", {{"sliding_window", window}});
    CHECK(c.sliding_window == std::vector<std::size_t>(4, std::size_t{1} << 31));
  }
  CHECK(one_line_with(refusal("mistral", {{"sliding_window", UINT64_MAX}}), "sliding_window"));
  CHECK(one_line_with(refusal("mistral", {{"sliding_window", -1}}), "sliding_window"));
  CHECK(one_line_with(refusal("mistral", {{"sliding_window", 1e18}}), "must be an integer"));
}

TEST_CASE("numbers that are none are refused wherever they stand") {
  const rota_lm_test::temp_folder folder;
  for (const char* key : {"rms_norm_eps", "rope_theta", "hidden_size", "partial_rotary_factor"}) {
    for (const char* value : {"NaN", "Infinity", "-Infinity", "1e999"}) {
      std::string text = base("llama").dump();
      text.insert(1, "\"" + std::string(key) + "\":" + value + ",");
      folder.write("config.json", text);
      const std::string said = error_of([&] { rota_lm::load_config(folder.path()); });
      CHECK(one_line_with(said, "config.json: not valid JSON at byte"));
    }
  }
  for (const char* key : {"factor", "beta_fast", "beta_slow", "attention_factor", "mscale"}) {
    json scaling = {{"rope_type", "yarn"}, {"factor", 4.0}, {"mscale_all_dim", 1.0}};
    scaling[key] = 1e300;
    CHECK(one_line_with(refusal("llama", {{"rope_scaling", scaling}}),
                        "rope_scaling." + std::string(key)));
  }
  CHECK(one_line_with(refusal("llama", {{"rms_norm_eps", 1e300}}), "rms_norm_eps"));
}
