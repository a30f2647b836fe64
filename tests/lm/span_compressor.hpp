// From a dense cache to a packed one by an operator that is a type: what the tests of caches
// compare with. The programs compress by evaluate/compressor.hpp, whose methods are chosen at run
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "engine/config.hpp"
#include "engine/dense_cache.hpp"
#include "engine/error.hpp"
#include "engine/packed_cache.hpp"
#include "engine/rota_call.hpp"
#include "engine/scoring_context.hpp"

namespace rota_lm {

/// Compression of all layers by one operator, under budgets that may span the layers. Scores once;
/// select() may then be called again and again, to find the ratio that fits a number of bytes.
/// Refers to the cache and the record, which must outlive it.
template <class Op, rota::element E>
class span_compressor {
 public:
  using params = typename Op::params;

  /// Scores every layer. Of `p` only the scorers' parameters matter here.
  span_compressor(const dense_cache<E>& dense, const prefill_record& record, const params& p)
      : dense_(dense) {
    for (std::size_t i = 0; i < dense.layers(); ++i) {
      contexts_.emplace_back(dense, record, i);
      layers_.emplace_back(dense.config(), dense.next_position(), groups());
      const rota::workspace ws =
          scratch_.at_least(Op::score_workspace_bytes(backend(), contexts_[i].get(), p));
      require(Op::score(backend(), contexts_[i].get(), p, layers_[i].scores, ws), layer_name(i));
    }
  }

  /// Selects in all layers under the budgets of `p`.
  void select(const params& p) { require(try_select(p), "selection"); }
  rota::status try_select(const params& p) {
    const span_arrays span = arrays(p);
    const rota::workspace ws =
        scratch_.at_least(Op::select_workspace_bytes(backend(), span.problems));
    return Op::select(backend(), span.problems, p, span.scores, span.kept, ws);
  }

  /// Selects by a ratio whose stores fit `bytes`, tails aside: see rota::fit_ratio.
  template <class SetRatio>
  rota::status try_fit(const params& p, std::size_t bytes, SetRatio&& set_ratio, double& ratio) {
    const span_arrays span = arrays(p);
    std::vector<rota::packed_shape> shapes;
    for (const auto& context : contexts_) shapes.push_back(Op::shape_of(context.get(), p));
    const rota::workspace ws =
        scratch_.at_least(rota::fit_ratio_workspace_bytes<Op>(backend(), span.problems));
    return rota::fit_ratio<Op>(backend(), span.problems, shapes, p, span.scores,
                               static_cast<rota::index_t>(bytes), set_ratio, ratio, span.kept, ws);
  }

  /// Bytes of the stores that pack() would make of the last selection, without their tails.
  std::size_t sealed_bytes(params p) const {
    p.store.tail_capacity = 0;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      bytes += static_cast<std::size_t>(Op::store_bytes(contexts_[i].get(), layers_[i].kept, p));
    }
    return bytes;
  }

  /// Packs the last selection of each layer as the next layers of `out`.
  void pack(const params& p, packed_cache& out) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto& context = contexts_[i].get();
      cache_buffer memory =
          out.allocate(static_cast<std::size_t>(Op::store_bytes(context, layers_[i].kept, p)));
      typename Op::store_type store;
      store.data = memory.data();
      store.capacity_bytes = static_cast<rota::index_t>(memory.size());
      const rota::workspace ws = scratch_.at_least(Op::pack_workspace_bytes(backend(), context, p));
      require(Op::pack(backend(), context, layers_[i].kept, p, store, ws), layer_name(i));
      out.add_layer(std::move(memory), store);
    }
  }

  std::size_t layers() const { return layers_.size(); }
  /// Value groups of a token, S.
  std::size_t groups() const {
    return dense_.config().head_dim / static_cast<std::size_t>(Op::width);
  }
  /// Scores and last selection of a layer, for whoever wants to look at them.
  const rota::layer_scores& scores(std::size_t layer) const { return layers_.at(layer).scores; }
  const rota::selection& selection(std::size_t layer) const { return layers_.at(layer).kept; }

 private:
  /// The caller-owned arrays of one layer.
  struct layer_arrays {
    layer_arrays(const model_config& c, std::size_t tokens, std::size_t groups)
        : token_scores(c.kv_heads * tokens),
          group_scores(c.kv_heads * tokens * groups),
          indices(c.kv_heads * tokens),
          masks(c.kv_heads * tokens),
          counts(c.kv_heads) {
      const auto h = static_cast<rota::index_t>(c.kv_heads);
      const auto n = static_cast<rota::index_t>(tokens);
      scores.tokens = rota::view<float, 2>(token_scores.data(), h, n);
      scores.groups = rota::view<float, 3>(group_scores.data(), h, n, groups);
      kept.indices = rota::view<std::int32_t, 2>(indices.data(), h, n);
      kept.masks = rota::view<rota::group_mask, 2>(masks.data(), h, n);
      kept.counts = rota::view<std::int32_t, 1>(counts.data(), h);
    }

    layer_arrays(layer_arrays&&) noexcept = default;  // as scoring_context
    layer_arrays(const layer_arrays&) = delete;

    std::vector<float> token_scores, group_scores;
    std::vector<std::int32_t> indices;
    std::vector<rota::group_mask> masks;
    std::vector<std::int32_t> counts;
    rota::layer_scores scores;  // views of the vectors
    rota::selection kept;
  };

  /// All layers, as the operators take them; a layer's place is its number.
  struct span_arrays {
    std::vector<rota::select_problem> problems;
    std::vector<rota::layer_scores> scores;
    std::vector<rota::selection> kept;
  };
  span_arrays arrays(const params& p) const {
    span_arrays span;
    const auto count = static_cast<rota::index_t>(layers_.size());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      span.problems.push_back(Op::problem_of(contexts_[i].get(), p));
      span.problems.back().place = {static_cast<rota::index_t>(i), count};
      span.scores.push_back(layers_[i].scores);
      span.kept.push_back(layers_[i].kept);
    }
    return span;
  }

  const rota::cpu::backend& backend() const { return dense_.backend(); }
  static std::string layer_name(std::size_t layer) { return "layer " + std::to_string(layer); }

  const dense_cache<E>& dense_;
  std::vector<scoring_context<E>> contexts_;
  std::vector<layer_arrays> layers_;
  scratch_memory scratch_;
};

/// Compresses all layers of `dense` by one operator into `out`, which must be empty.
template <class Op, rota::element E>
void compress(const dense_cache<E>& dense, const prefill_record& record,
              const typename Op::params& p, packed_cache& out) {
  span_compressor<Op, E> compressor(dense, record, p);
  compressor.select(p);
  compressor.pack(p, out);
}

/// Compresses each layer of `dense` by its own operator, chosen at run time: `per_layer` has one
/// for each layer. `out` must be empty.
template <rota::element E, class... Ops>
void compress_each(const dense_cache<E>& dense, const prefill_record& record,
                   std::span<const rota::any_op<Ops...>> per_layer, packed_cache& out) {
  if (per_layer.size() != dense.layers()) fail("compression", "needs one operator for each layer");
  scratch_memory scratch;
  for (std::size_t i = 0; i < dense.layers(); ++i) {
    const scoring_context<E> context(dense, record, i);
    const rota::any_op<Ops...>& op = per_layer[i];
    const rota::index_t bound = op.max_store_bytes(context.get());
    const cache_buffer roomy(static_cast<std::size_t>(bound));
    typename rota::any_op<Ops...>::store_type store;
    const rota::workspace ws =
        scratch.at_least(op.compress_workspace_bytes(dense.backend(), context.get()));
    require(op.compress(dense.backend(), context.get(), roomy.data(), bound, store, ws),
            "layer " + std::to_string(i));
    // What the store does not need is not kept.
    cache_buffer exact = out.allocate(static_cast<std::size_t>(store.bytes()));
    const packed_layer kept = store.visit([&]<class Store>(const Store& s) -> packed_layer {
      Store trimmed;
      trimmed.data = exact.data();
      trimmed.capacity_bytes = static_cast<rota::index_t>(exact.size());
      require(rota::copy(s, trimmed), "layer " + std::to_string(i));
      return trimmed;
    });
    out.add_layer(std::move(exact), kept);
  }
}

/// The parameters with a ratio whose stores fit `bytes` and the next larger one's do not:
/// set_ratio(params, ratio) puts it where it belongs. Leaves that selection in the compressor.
/// Throws when nothing fits that can hold the protected tokens.
template <class Op, rota::element E, class SetRatio>
typename Op::params fit_ratio(span_compressor<Op, E>& compressor, typename Op::params p,
                              std::size_t bytes, SetRatio&& set_ratio) {
  double ratio = 0;
  const rota::status s = compressor.try_fit(p, bytes, set_ratio, ratio);
  if (s == rota::errc::budget_too_small) {
    fail("compression", "no ratio fits " + std::to_string(bytes) + " bytes");
  }
  require(s, "selection");
  set_ratio(p, ratio);
  return p;
}

}  // namespace rota_lm
