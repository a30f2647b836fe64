// config.json of the four supported architectures, checked field by field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/json.hpp"
#include "engine/rope_config.hpp"

namespace rota_lm {

using token_id = std::int32_t;

enum class architecture { qwen2, qwen3, mistral, llama };

/// What the forward pass needs to know about a checkpoint.
struct model_config {
  architecture arch = architecture::llama;
  std::size_t vocab_size = 0;
  std::size_t hidden_size = 0;
  std::size_t intermediate_size = 0;
  std::size_t layers = 0;
  std::size_t q_heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  /// The model's reach: the positions it was trained for, times the factor of a scaling that
  /// stretches them. Programs refuse more. 0 when the file does not say.
  std::size_t max_positions = 0;
  float norm_eps = 1e-6f;
  rope_config rope;
  /// Per layer: query i sees keys j with i - window < j <= i. 0 means no window.
  std::vector<std::size_t> sliding_window;
  bool tie_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;
  std::vector<token_id> eos;  ///< ids that end a generation; may be empty

  /// Query heads that read one kv head.
  std::size_t group() const { return q_heads / kv_heads; }
};

/// Reads a parsed config.json; `where` names it in errors. Throws on anything missing, out of
/// range or not supported, naming the field.
model_config parse_config(const json& document, const std::string& where);

/// Reads config.json, and the end tokens of generation_config.json where there is one, in folder
/// `directory`.
model_config load_config(const std::string& directory);

}  // namespace rota_lm
