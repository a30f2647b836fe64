#pragma once

#include <rota/core/view.hpp>

namespace rota {

/// How attention_mass and attention_mass_wo read the window's attention.
struct mass_pooling {
  float scale = 0;          ///< of the logits; 0 means 1 / sqrt(d_k)
  index_t pool_kernel = 1;  ///< odd; the sums are averaged over so many tokens; 1 smooths nothing
};

}  // namespace rota
