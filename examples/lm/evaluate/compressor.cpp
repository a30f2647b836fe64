#include "evaluate/compressor.hpp"

#include <iterator>
#include <span>
#include <utility>

#include <rota/store/step_search.hpp>

#include "engine/rota_call.hpp"

namespace rota_lm::eval {
namespace {

constexpr int steps = 4096;

/// What fit() tries: a fraction of the tokens, or of the groups where every token survives.
fractions fractions_at(const method& m, double rho, int step) {
  const double x = static_cast<double>(step) / steps;
  return m.tokens ? fractions{x, m.groups ? m.rho.value_or(rho) : 1.0} : fractions{1.0, x};
}

}  // namespace

compressor::compressor(std::vector<layer_context> contexts, rota::protection protect,
                       store_choice store, rota::cpu::backend backend, sequence_extras extras)
    : contexts_(std::move(contexts)),
      store_(store),
      backend_(backend),
      scores_(store.group_width, protect.sinks, backend, std::move(extras)) {
  groups_ = static_cast<int>(contexts_.at(0).d_v()) / store.group_width;
  for (const layer_context& c : contexts_) {
    rota::select_problem p;
    p.tokens = c.tokens();
    p.sliding_window = c.sliding_window;
    p.kv_heads = c.kv_heads();
    p.groups = groups_;
    p.protect = protect;
    p.place = {std::ssize(problems_), std::ssize(contexts_)};
    problems_.push_back(p);
    kept_.emplace_back(p.kv_heads, p.tokens);
    views_.push_back(kept_.back().view);
  }
}

std::optional<fractions> compressor::fit(const method& m, double rho, std::size_t bytes) {
  const auto at = [&](int step) { return fractions_at(m, rho, step); };
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

std::optional<std::size_t> compressor::least_bytes(const method& m, double rho) {
  if (!try_select(m, fractions_at(m, rho, steps))) return {};
  int too_small = -1, enough = steps;
  while (enough - too_small > 1) {
    const int middle = (too_small + enough) / 2;
    (try_select(m, fractions_at(m, rho, middle)) ? enough : too_small) = middle;
  }
  try_select(m, fractions_at(m, rho, enough));
  return sealed_bytes();
}

bool compressor::try_select(const method& m, const fractions& f) {
  const std::vector<rota::layer_scores> all = scores_.of(m, contexts_);
  const std::size_t split = scores_.split_of(m);
  const auto try_span = [&](const method& how, std::size_t first, std::size_t last) {
    const layer_span span{std::span(problems_).subspan(first, last - first),
                          std::span(all).subspan(first, last - first),
                          std::span(views_).subspan(first, last - first)};
    const rota::status s = select(how, f, span, backend_, scratch_);
    if (s == rota::errc::budget_too_small) return false;
    require(s, "selection");
    return true;
  };
  if (split > 0 && !try_span(without_predictor(m, scores_.fallback()), 0, split)) return false;
  return try_span(m, split, contexts_.size());
}

void compressor::pack(std::size_t tail, packed_cache& out) {
  eval::pack(store_, backend_, contexts_, views_, tail, scratch_, out);
}

}  // namespace rota_lm::eval
