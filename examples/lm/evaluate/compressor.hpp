// One prefill, compressed by many methods: scores are made once, then selected from, fitted to
// bytes and packed by each method.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <rota/core/types.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/select/selection.hpp>

#include "engine/packed_cache.hpp"
#include "engine/scratch_memory.hpp"
#include "evaluate/kept.hpp"
#include "evaluate/method.hpp"
#include "evaluate/packing.hpp"
#include "evaluate/score_cache.hpp"
#include "evaluate/selection.hpp"

namespace rota_lm::eval {

/// The layers of one sequence. Contexts refer to memory that must outlive this.
class compressor {
 public:
  compressor(std::vector<layer_context> contexts, rota::protection protect, store_choice store,
             rota::cpu::backend backend = {}, sequence_extras extras = {});

  /// The largest fraction, to 1/4096, whose stores take at most `bytes` without their tails: of
  /// the tokens, with `rho` (or the method's own) of the survivors' groups where it selects those
  /// too, or else of the groups. Leaves that selection in place. Nothing when no fraction that can
  /// hold the protected tokens fits.
  std::optional<fractions> fit(const method& m, double rho, std::size_t bytes);

  /// Bytes of the smallest such stores that hold the protected tokens; nothing where no fraction
  /// does. Leaves that selection in place.
  std::optional<std::size_t> least_bytes(const method& m, double rho);

  /// Whether the budgets could hold the protected tokens; else nothing was selected. Throws on
  /// any other failure. The layers up to a predictor's split are a span of their own, of the same
  /// fractions.
  bool try_select(const method& m, const fractions& f);

  /// Bytes of the last selection's stores, without tails, everything else counted.
  std::size_t sealed_bytes() const { return eval::sealed_bytes(store_, contexts_, views_); }

  /// Packs the last selection as all the layers of `out`, with room for `tail` tokens each.
  void pack(std::size_t tail, packed_cache& out);

  kept_counts kept() const { return count_kept(problems_, views_); }

  std::size_t layers() const { return contexts_.size(); }
  int groups() const { return groups_; }
  const rota::selection& selection(std::size_t layer) const { return views_.at(layer); }

 private:
  std::vector<layer_context> contexts_;
  store_choice store_;
  rota::cpu::backend backend_;
  int groups_ = 0;
  std::vector<rota::select_problem> problems_;
  std::vector<kept_memory> kept_;
  std::vector<rota::selection> views_;
  score_cache scores_;
  scratch_memory scratch_;
};

}  // namespace rota_lm::eval
