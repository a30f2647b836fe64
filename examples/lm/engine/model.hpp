// The forward pass, layer by layer, with attention behind a seam.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/matrix.hpp"
#include "engine/projection_seam.hpp"
#include "engine/rope.hpp"
#include "engine/weights.hpp"

namespace rota_lm {

/// A decoder-only transformer. forward() changes nothing: any number of threads may run
/// forward() at once, each with its own cache.
class model {
 public:
  /// Reads config.json and the weights in folder `directory`.
  static model load(const std::string& directory);

  model(model_config config, model_weights weights);

  /// From here on every projection has its adapter's part. Not while another thread runs
  /// forward(). Null: none.
  void adapt(std::shared_ptr<const projection_adapters> adapters);

  const model_config& config() const { return config_; }
  const model_weights& weights() const { return weights_; }
  const rope& rotary() const { return rope_; }
  const projection_adapters* adapters() const { return adapters_.get(); }

  /// Runs `ids`, which follow the tokens that `cache` has seen, and appends them to it. Returns the
  /// logits [min(last, n), vocab] of the last `last` of the n tokens; all_tokens for all of them, 0
  /// to run the cache alone. `observer`, where there is one, sees every layer. Throws on an id
  /// outside the vocabulary or no ids, before anything else happens; what the cache throws leaves
  /// the cache unusable.
  matrix forward(std::span<const token_id> ids, attention_cache& cache, std::size_t last = 1,
                 layer_observer* observer = nullptr) const;

  static constexpr std::size_t all_tokens = static_cast<std::size_t>(-1);

 private:
  void check_ids(std::span<const token_id> ids) const;
  matrix embed(std::span<const token_id> ids) const;
  matrix projected(std::size_t layer, target t, const linear& w, const matrix& x) const;
  matrix normed(const matrix& x, const row_vector& gain) const;
  /// x <- x + O(attention(Q, K, V of norm(x))).
  void attention_half(std::size_t layer, std::size_t first, const rope::table& angles, matrix& x,
                      attention_cache& cache, layer_observer* observer) const;
  /// x <- x + down(silu(gate(norm(x))) * up(norm(x))).
  void mlp_half(std::size_t layer, matrix& x) const;
  matrix logits(const matrix& x, std::size_t last) const;

  model_config config_;
  model_weights weights_;
  rope rope_;
  std::shared_ptr<const projection_adapters> adapters_;
};

}  // namespace rota_lm
