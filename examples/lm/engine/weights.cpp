#include "engine/weights.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "engine/checkpoint.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"

namespace rota_lm {

namespace {

/// Reads tensors by the names that the reference gives them.
class weight_reader {
 public:
  weight_reader(const checkpoint& source, const model_config& config)
      : source_(source), config_(config) {}

  row_vector vector(const std::string& name, std::size_t size) const {
    source_.check_weight(name, std::array<std::uint64_t, 1>{size});
    row_vector out(static_cast<Eigen::Index>(size));
    source_.read_weight(name, {out.data(), size});
    return out;
  }
  matrix table(const std::string& name, std::size_t rows, std::size_t columns) const {
    // Before any memory is taken: a lying config.json must not make us allocate what no file has.
    source_.check_weight(name, std::array<std::uint64_t, 2>{rows, columns});
    matrix out(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(columns));
    source_.read_weight(name, values(out));
    return out;
  }
  linear projection(const std::string& name, std::size_t out, std::size_t in, bool bias) const {
    linear p;
    p.weight = table(name + ".weight", out, in);
    if (bias) p.bias = vector(name + ".bias", out);
    return p;
  }

  layer_weights layer(std::size_t index) const {
    const model_config& c = config_;
    const std::string prefix = "model.layers." + std::to_string(index) + ".";
    const std::string attention = prefix + "self_attn.";
    const std::size_t q_width = c.q_heads * c.head_dim;
    const std::size_t kv_width = c.kv_heads * c.head_dim;
    layer_weights w;
    w.attention_norm = vector(prefix + "input_layernorm.weight", c.hidden_size);
    w.q = projection(attention + "q_proj", q_width, c.hidden_size, c.qkv_bias);
    w.k = projection(attention + "k_proj", kv_width, c.hidden_size, c.qkv_bias);
    w.v = projection(attention + "v_proj", kv_width, c.hidden_size, c.qkv_bias);
    if (c.qk_norm) {
      w.q_norm = vector(attention + "q_norm.weight", c.head_dim);
      w.k_norm = vector(attention + "k_norm.weight", c.head_dim);
    }
    w.o = projection(attention + "o_proj", c.hidden_size, q_width, c.output_bias);
    w.mlp_norm = vector(prefix + "post_attention_layernorm.weight", c.hidden_size);
    w.gate = projection(prefix + "mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    w.up = projection(prefix + "mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
    w.down = projection(prefix + "mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias);
    return w;
  }

 private:
  const checkpoint& source_;
  const model_config& config_;
};

/// Layers that the files have and the configuration leaves out would be left out in silence.
void refuse_more_layers(const checkpoint& source, std::size_t layers) {
  constexpr std::string_view prefix = "model.layers.";
  for (const auto& [name, file] : source.tensors()) {
    if (!name.starts_with(prefix)) continue;
    const char* const first = name.data() + prefix.size();
    std::size_t layer = 0;
    const auto [end, problem] = std::from_chars(first, name.data() + name.size(), layer);
    if (problem != std::errc() || layer < layers) continue;
    fail(source.directory() + "/config.json", "num_hidden_layers is " + std::to_string(layers) +
                                                  ", but the checkpoint has the tensor \"" +
                                                  printable(name, 120) +
                                                  "\": say how many layers it has");
  }
}

constexpr const char* embedding_name = "model.embed_tokens.weight";
constexpr const char* head_name = "lm_head.weight";

}  // namespace

model_weights load_weights(const checkpoint& source, const model_config& config) {
  refuse_more_layers(source, config.layers);
  const weight_reader read(source, config);
  model_weights w;
  const auto table = [&](const char* name) {
    return read.table(name, config.vocab_size, config.hidden_size);
  };
  const bool head_alone = config.tie_embeddings && !source.contains(embedding_name);
  w.embedding = table(head_alone && source.contains(head_name) ? head_name : embedding_name);
  for (std::size_t i = 0; i < config.layers; ++i) w.layers.push_back(read.layer(i));
  w.final_norm = read.vector("model.norm.weight", config.hidden_size);
  if (head_alone || (config.tie_embeddings && !source.contains(head_name))) return w;
  w.head.weight = table(head_name);
  if (config.tie_embeddings && w.head.weight == w.embedding) w.head.weight.resize(0, 0);
  return w;
}

}  // namespace rota_lm
