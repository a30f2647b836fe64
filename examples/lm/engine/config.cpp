#include "engine/config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"

namespace rota_lm {

namespace {

constexpr std::size_t most_positions = std::size_t{1} << 31;

architecture architecture_named(const json_field& field) {
  static constexpr std::array<std::pair<std::string_view, architecture>, 8> known = {
      {{"qwen2", architecture::qwen2},
       {"qwen3", architecture::qwen3},
       {"mistral", architecture::mistral},
       {"llama", architecture::llama},
       {"Qwen2ForCausalLM", architecture::qwen2},
       {"Qwen3ForCausalLM", architecture::qwen3},
       {"MistralForCausalLM", architecture::mistral},
       {"LlamaForCausalLM", architecture::llama}}};
  for (const auto& [name, arch] : known) {
    if (name == field.string()) return arch;
  }
  fail(field.where(), "architecture \"" + printable(field.string(), 80) +
                          "\" is not supported; Qwen2, Qwen3, Mistral and Llama are");
}

architecture read_architecture(const json_field& root) {
  std::optional<architecture> by_class;
  if (const auto list = root.find("architectures")) {
    if (list->size() != 1) fail(list->where(), "must name one architecture");
    by_class = architecture_named(list->at(0));
  }
  if (!by_class) return architecture_named(root.at("model_type"));
  if (const auto type = root.find("model_type"); type && architecture_named(*type) != *by_class) {
    fail(type->where(), "contradicts architectures");
  }
  return *by_class;
}

/// Yarn and linear scaling stretch the positions before scaling, which max_position_embeddings may
/// or may not count. llama3 counts them.
std::size_t reach(const rope_config& rope, std::size_t positions) {
  if (positions == 0 || rope.kind == rope_kind::plain || rope.kind == rope_kind::llama3) {
    return positions;
  }
  const double stretched = std::floor(rope.original_positions * rope.factor);
  const double most = static_cast<double>(most_positions);
  return std::max(positions, static_cast<std::size_t>(std::min(stretched, most)));
}

bool flag_or(const json_field& root, const std::string& key, bool otherwise) {
  const auto field = root.find(key);
  return field ? field->boolean() : otherwise;
}

void read_sizes(const json_field& root, model_config& c) {
  c.vocab_size = root.at("vocab_size").count(1, std::size_t{1} << 22);
  c.hidden_size = root.at("hidden_size").count(1, 1 << 16);
  c.intermediate_size = root.at("intermediate_size").count(1, 1 << 20);
  c.layers = root.at("num_hidden_layers").count(1, 1024);
  if (const auto positions = root.find("max_position_embeddings")) {
    c.max_positions = positions->count(1, most_positions);
  }
  if (const auto eps = root.find("rms_norm_eps")) {
    c.norm_eps = static_cast<float>(eps->number(0.0, 1.0));
  }
}

void read_heads(const json_field& root, model_config& c) {
  const json_field q_heads = root.at("num_attention_heads");
  c.q_heads = q_heads.count(1, 1 << 12);
  // Written as null, or left out by the oldest Llama files: one kv head for each query head.
  const bool absent = !root.object().contains("num_key_value_heads");
  if (absent && c.arch != architecture::llama) root.at("num_key_value_heads");
  const auto kv_heads = root.find("num_key_value_heads");
  c.kv_heads = kv_heads ? kv_heads->count(1, c.q_heads) : c.q_heads;
  if (c.q_heads % c.kv_heads != 0) {
    fail(kv_heads->where(), "does not divide num_attention_heads");
  }
  if (const auto head_dim = root.find("head_dim")) {
    c.head_dim = head_dim->count(2, 1024);
  } else if (c.arch == architecture::qwen3 && !root.object().contains("head_dim")) {
    c.head_dim = 128;  // Qwen3 does not derive it
  } else {
    if (c.hidden_size % c.q_heads != 0) {
      fail(q_heads.where(), "does not divide hidden_size, and head_dim is not given");
    }
    c.head_dim = c.hidden_size / c.q_heads;
  }
  if (c.head_dim % 2 != 0 || c.head_dim > 1024) {
    fail(root.where(),
         "head_dim is " + std::to_string(c.head_dim) + ", must be even and at most 1024");
  }
}

/// Which of the layers slide; `window` is what they slide by.
void read_layer_types(const json_field& types, std::size_t window, model_config& c) {
  if (types.size() != c.layers) fail(types.where(), "must have one entry for each layer");
  const bool fixed = c.arch == architecture::mistral || c.arch == architecture::llama;
  for (std::size_t i = 0; i < c.layers; ++i) {
    const json_field type = types.at(i);
    const bool slides = type.string() == "sliding_attention";
    if (!slides && type.string() != "full_attention") {
      fail(type.where(), "layer type \"" + printable(type.string(), 80) + "\" is not supported");
    }
    if (slides && window == 0) fail(type.where(), "slides, but no sliding_window is in use");
    // The reference gives every layer of these two the same window and ignores the list.
    if (fixed && slides != (window != 0)) fail(type.where(), "contradicts sliding_window");
    c.sliding_window[i] = slides ? window : 0;
  }
}

void read_windows(const json_field& root, model_config& c) {
  c.sliding_window.assign(c.layers, 0);
  const bool qwen = c.arch == architecture::qwen2 || c.arch == architecture::qwen3;
  const bool used =
      qwen ? flag_or(root, "use_sliding_window", false) : c.arch == architecture::mistral;
  std::size_t window = 0;
  if (used) {
    const bool absent = !root.object().contains("sliding_window");
    const auto field = root.find("sliding_window");
    // Some files say "no window" by a huge one; beyond all positions it is none.
    window = field ? std::min(field->count(1, INT64_MAX), most_positions) : absent ? 4096 : 0;
  }
  if (const auto types = root.find("layer_types")) {
    read_layer_types(*types, window, c);
    return;
  }
  std::size_t first = 0;  // the first layer that slides
  if (qwen && window != 0) {
    const auto field = root.find("max_window_layers");
    first = field ? field->count(0, std::size_t{1} << 20) : 28;
  }
  for (std::size_t i = first; i < c.layers; ++i) c.sliding_window[i] = window;
}

void read_switches(const json_field& root, model_config& c) {
  if (const auto act = root.find("hidden_act"); act && act->string() != "silu") {
    fail(act->where(),
         "activation \"" + printable(act->string(), 80) + "\" is not supported; silu is");
  }
  if (const auto quantized = root.find("quantization_config")) {
    fail(quantized->where(), "quantized checkpoints are not supported");
  }
  c.tie_embeddings = flag_or(root, "tie_word_embeddings", false);
  // Qwen2 has biases on Q, K and V, always; Llama and Qwen3 say so for Q, K, V and O together.
  const bool configurable = c.arch == architecture::llama || c.arch == architecture::qwen3;
  c.output_bias = configurable && flag_or(root, "attention_bias", false);
  c.qkv_bias = c.arch == architecture::qwen2 || c.output_bias;
  c.mlp_bias = c.arch == architecture::llama && flag_or(root, "mlp_bias", false);
  c.qk_norm = c.arch == architecture::qwen3;
}

/// `eos_token_id` is absent, an id or a list of ids.
void read_eos(const json_field& root, model_config& c) {
  const auto field = root.find("eos_token_id");
  if (!field) return;
  const auto top = static_cast<std::int64_t>(c.vocab_size) - 1;
  c.eos.clear();
  if (!field->value().is_array()) {
    c.eos.push_back(static_cast<token_id>(field->integer(0, top)));
    return;
  }
  for (std::size_t i = 0; i < field->size(); ++i) {
    c.eos.push_back(static_cast<token_id>(field->at(i).integer(0, top)));
  }
}

}  // namespace

model_config parse_config(const json& document, const std::string& where) {
  const json_field root(document, where);
  model_config c;
  c.arch = read_architecture(root);
  read_sizes(root, c);
  read_heads(root, c);
  read_switches(root, c);
  read_windows(root, c);
  c.rope = read_rope_config(root, c.max_positions);
  c.max_positions = reach(c.rope, c.max_positions);
  read_eos(root, c);
  return c;
}

model_config load_config(const std::string& directory) {
  const std::string path = directory + "/config.json";
  model_config c = parse_config(read_json(path), path);
  const std::string generation = directory + "/generation_config.json";
  if (std::error_code ignored; std::filesystem::exists(generation, ignored)) {
    const json document = read_json(generation);
    read_eos(json_field(document, generation), c);
  }
  return c;
}

}  // namespace rota_lm
