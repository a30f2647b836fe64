// One prefill, compressed by many methods: scores are made once, then selected from, fitted to
// bytes and packed by each method.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rota/store/step_search.hpp>

#include "engine/cache_memory.hpp"
#include "engine/packed_cache.hpp"
#include "engine/rota_call.hpp"
#include "evaluate/kept.hpp"
#include "evaluate/level.hpp"
#include "evaluate/method.hpp"
#include "evaluate/score_cache.hpp"

namespace rota_lm::eval {

/// How rows lie in memory: packing is by group width and fill alone, whatever selected.
template <int Width, class Fill>
using packing = rota::attention<rota::packed<element, Width>, Fill>;
using row_cache = packed_cache<packing<8, rota::zero_fill>, packing<16, rota::zero_fill>>;

struct store_choice {
  int group_width = 16;
  fill stand_in = fill::zero;
};

/// Calls f.operator()<Op>() with the packing chosen.
template <class F>
decltype(auto) with_packing(const store_choice& c, F&& f) {
  const bool mean = c.stand_in == fill::mean;
  if (c.group_width == 8) {
    return mean ? f.template operator()<packing<8, rota::mean_fill>>()
                : f.template operator()<packing<8, rota::zero_fill>>();
  }
  return mean ? f.template operator()<packing<16, rota::mean_fill>>()
              : f.template operator()<packing<16, rota::zero_fill>>();
}

/// Kept fractions of all tokens, and of the survivors' groups. Protected ones count inside.
struct fractions {
  double tokens = 1;
  double groups = 1;
};

/// Packs what was selected of each layer as the layers of `out`, into memory of exactly their size
/// with room for `tail` tokens each.
template <class Op, class Context>
void pack_layers(const rota::cpu::backend& b, const std::vector<Context>& contexts,
                 const std::vector<rota::selection>& kept, std::size_t tail,
                 scratch_memory& scratch, row_cache& out) {
  typename Op::params p;
  p.store.tail_capacity = static_cast<rota::index_t>(tail);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    const auto bytes = Op::store_bytes(contexts[i], kept[i], p);
    cache_buffer memory = out.allocate(static_cast<std::size_t>(bytes));
    typename Op::store_type store{memory.data(), bytes};
    const rota::workspace ws = scratch.at_least(Op::pack_workspace_bytes(b, contexts[i], p));
    require(Op::pack(b, contexts[i], kept[i], p, store, ws), "layer " + std::to_string(i));
    out.add_layer(std::move(memory), store);
  }
}

/// The layers of one sequence. Contexts refer to memory that must outlive this.
class compressor {
 public:
  compressor(std::vector<layer_context> contexts, rota::protection protect, store_choice store,
             rota::cpu::backend backend = {}, sequence_extras extras = {})
      : contexts_(std::move(contexts)),
        store_(store),
        backend_(backend),
        scores_(store.group_width, protect.sinks, backend, std::move(extras)) {
    groups_ = static_cast<int>(contexts_.at(0).d_v()) / store.group_width;
    for (const layer_context& c : contexts_) {
      rota::select_problem p;
      p.tokens = c.tokens();
      p.kv_heads = c.kv_heads();
      p.groups = groups_;
      p.protect = protect;
      p.sliding_window = c.sliding_window;
      problems_.push_back(p);
      kept_.emplace_back(p.kv_heads, p.tokens);
      views_.push_back(kept_.back().view);
    }
  }

  /// The largest fraction, to 1/4096, whose stores take at most `bytes` without their tails: of
  /// the tokens, with `rho` (or the method's own) of the survivors' groups where it selects those
  /// too, or else of the groups. Leaves that selection in place. Nothing when no fraction that can
  /// hold the protected tokens fits.
  std::optional<fractions> fit(const method& m, double rho, std::size_t bytes) {
    constexpr int steps = 4096;
    const auto at = [&](int step) {
      const double x = static_cast<double>(step) / steps;
      return m.tokens ? fractions{x, m.groups ? m.rho.value_or(rho) : 1.0} : fractions{1.0, x};
    };
    const auto measure = [&](int step, rota::index_t& taken) -> rota::status {
      if (!try_select(m, at(step))) return {rota::errc::budget_too_small, "fractions"};
      taken = static_cast<rota::index_t>(sealed_bytes());
      return {};
    };
    int step = 0;
    if (!rota::largest_step_that_fits(steps, static_cast<rota::index_t>(bytes), measure, step))
      return {};
    if (!try_select(m, at(step))) return {};
    return at(step);
  }

  /// Whether the budgets could hold the protected tokens; else nothing was selected. Throws on
  /// any other failure. The layers up to a predictor's split are a span of their own, of the same
  /// fractions.
  bool try_select(const method& m, const fractions& f) {
    const std::vector<rota::layer_scores> all = scores_.of(m, contexts_);
    const std::size_t split = scores_.split_of(m);
    const auto select = [&](const method& how, std::size_t first, std::size_t last) {
      const layer_span span{std::span(problems_).subspan(first, last - first),
                            std::span(all).subspan(first, last - first),
                            std::span(views_).subspan(first, last - first)};
      const rota::status s = how.groups ? select_groups(how, f, span) : select_tokens(how, f, span);
      if (s == rota::errc::budget_too_small) return false;
      require(s, "selection");
      return true;
    };
    if (split > 0 && !select(without_predictor(m, scores_.fallback()), 0, split)) return false;
    return select(m, split, contexts_.size());
  }

  /// Bytes of the last selection's stores, without tails, everything else counted.
  std::size_t sealed_bytes() const {
    return with_packing(store_, [&]<class Op>() {
      typename Op::params p;
      p.store.tail_capacity = 0;
      rota::index_t bytes = 0;
      for (std::size_t i = 0; i < contexts_.size(); ++i) {
        bytes += Op::store_bytes(contexts_[i], views_[i], p);
      }
      return static_cast<std::size_t>(bytes);
    });
  }

  /// Packs the last selection as all the layers of `out`, with room for `tail` tokens each.
  void pack(std::size_t tail, row_cache& out) {
    with_packing(store_, [&]<class Op>() {
      pack_layers<Op>(backend_, contexts_, views_, tail, scratch_, out);
    });
  }

  kept_counts kept() const { return count_kept(problems_, views_); }

  std::size_t layers() const { return contexts_.size(); }
  int groups() const { return groups_; }
  const rota::selection& selection(std::size_t layer) const { return views_.at(layer); }

 private:
  /// Layers that share a budget.
  struct layer_span {
    std::span<const rota::select_problem> problems;
    std::span<const rota::layer_scores> scores;
    std::span<const rota::selection> kept;
  };

  rota::status run(const rota::cpu::budget_rule& tokens, const rota::cpu::budget_rule& groups,
                   const layer_span& span) {
    const rota::workspace ws = scratch_.at_least(rota::cpu::select_workspace_bytes(
        backend_, span.problems, std::ssize(span.problems), groups.selects()));
    return rota::cpu::select(backend_, span.problems, tokens, groups, span.scores, span.kept, ws);
  }

  /// Calls f(rule) with the rule of a method's token budget at a fraction; keeps all without one.
  template <class F>
  rota::status with_token_rule(const method& m, const fractions& f, const layer_span& span,
                               F&& use) {
    if (!m.tokens) return use(rota::cpu::budget_rule{});
    return with_budget(m.tokens->rule, [&]<class Budget>() {
      const auto p = budget_at<Budget>(f.tokens, token_level(span.problems, span.scores));
      return use(rota::cpu::rule_of<Budget>(p));
    });
  }

  /// The token stage alone.
  rota::status select_tokens(const method& m, const fractions& f, const layer_span& span) {
    return with_token_rule(
        m, f, span, [&](const rota::cpu::budget_rule& tokens) { return run(tokens, {}, span); });
  }

  /// Both stages, or the group stage alone.
  rota::status select_groups(const method& m, const fractions& f, const layer_span& span) {
    // What these budgets count depends on who survives, so that is asked first.
    const bool needs_survivors =
        m.groups->rule == budget::global_top_m || m.groups->rule == budget::adaptive_span;
    if (needs_survivors) {
      if (rota::status s = select_tokens(m, f, span); !s.ok()) return s;
    }
    const group_level level(span.problems, span.scores, span.kept);
    return with_budget(m.groups->rule, [&]<class Budget>() {
      const auto p = budget_at<Budget>(f.groups, level);
      return with_token_rule(m, f, span, [&](const rota::cpu::budget_rule& tokens) {
        return run(tokens, rota::cpu::rule_of<Budget>(p), span);
      });
    });
  }

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
