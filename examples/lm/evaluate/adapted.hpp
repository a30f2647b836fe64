// What an adapted model keeps of a prefill by its own routing: groups by its router, its threshold
// or its order, and its fill, for a share rho of the groups.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/core/types.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/select/selection.hpp>

#include "engine/attention_seam.hpp"
#include "engine/matrix.hpp"
#include "engine/packed_cache.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/adapted_packing.hpp"
#include "evaluate/kept.hpp"
#include "evaluate/stock_scores.hpp"

namespace rota_lm::eval {

/// Keeps what each layer's projections read of a prefill.
class input_record final : public layer_observer {
 public:
  explicit input_record(bool wanted) : wanted_(wanted) {}
  void on_layer(const layer_trace& t) override {
    if (wanted_) inputs_.push_back(t.attention_input);
  }
  const std::vector<matrix>& inputs() const { return inputs_; }

 private:
  bool wanted_;
  std::vector<matrix> inputs_;
};

/// The layers of one sequence. Contexts, inputs and routing must outlive this.
class adapted_compressor {
 public:
  adapted_compressor(const std::vector<layer_context>& contexts, const std::vector<matrix>& inputs,
                     const value_routing& routing, rota::protection protect,
                     rota::cpu::backend backend = {});

  /// Keeps a share rho of the groups: as many of each token, or as the calibrated threshold says.
  void select(double rho);

  /// Packs the last selection as all the layers of `out`, with room for `tail` tokens each.
  void pack(std::size_t tail, packed_cache& out);

  kept_counts kept() const { return count_kept(problems_, views_); }
  int groups() const { return problems_[0].groups; }

 private:
  float threshold_of(double rho) const;

  const value_routing& routing_;
  rota::cpu::backend backend_;
  std::vector<adapted_context> contexts_;
  std::vector<rota::select_problem> problems_;
  std::vector<kept_memory> kept_;
  std::vector<rota::selection> views_;
  std::vector<scored<3>> scores_;
  scratch_memory scratch_;
};

}  // namespace rota_lm::eval
