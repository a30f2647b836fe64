#pragma once

#include <rota/core/types.hpp>

namespace rota {

/// What a pointwise scorer sees of one token in one kv head. Rows are converted to float.
struct token_ref {
  const float* key = nullptr;    ///< [d_k], after RoPE
  const float* value = nullptr;  ///< [d_v]
  int d_k = 0;
  int d_v = 0;
  int kv_head = 0;
  int kv_heads = 1;
  index_t index = 0;        ///< 0 .. tokens - 1 in this context
  index_t tokens = 0;       ///< tokens of this context
  position_t position = 0;  ///< original position
};

/// What a pointwise group scorer sees: one slice of one token's value.
struct group_ref {
  token_ref token;
  const float* slice = nullptr;  ///< [width]
  int width = 0;
  int group = 0;
  int groups = 1;
};

}  // namespace rota
