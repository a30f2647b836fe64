// The weights of a model as float matrices.
#pragma once

#include <vector>

#include "engine/matrix.hpp"

namespace rota_lm {

class checkpoint;
struct model_config;

/// One decoder layer. Shapes: h hidden, d head_dim, f intermediate; weights are [out, in].
struct layer_weights {
  row_vector attention_norm;  ///< [h]
  linear q;                   ///< [q_heads * d, h]
  linear k;                   ///< [kv_heads * d, h]
  linear v;                   ///< [kv_heads * d, h]
  row_vector q_norm;          ///< [d], empty without qk_norm
  row_vector k_norm;          ///< [d], empty without qk_norm
  linear o;                   ///< [h, q_heads * d]
  row_vector mlp_norm;        ///< [h]
  linear gate;                ///< [f, h]
  linear up;                  ///< [f, h]
  linear down;                ///< [h, f]
};

struct model_weights {
  matrix embedding;  ///< [vocab, h]
  std::vector<layer_weights> layers;
  row_vector final_norm;  ///< [h]
  linear head;            ///< [vocab, h]; without rows when tied to the embedding

  /// What turns the last hidden state into logits, [vocab, h].
  const matrix& output() const { return head.weight.size() == 0 ? embedding : head.weight; }
};

/// Reads all weights; throws when a tensor is missing, has another shape than `config` implies or
/// holds a number that is not finite, and when there are more layers than `config` says. A head in
/// the files that differs from the embedding is used though `config` ties the two, and a head alone
/// is both: so does transformers 5.
model_weights load_weights(const checkpoint& source, const model_config& config);

}  // namespace rota_lm
