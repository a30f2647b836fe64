#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <rota/select/normalization.hpp>
#include <rota/select/reference.hpp>

// Normalization of a layer's scores in double, by the formulas of layer_normalization. Slow on
// purpose; it shares nothing with the backends.

namespace rota::reference {

/// What the items x of one layer become. NaN and, unless ranked, infinities stand aside.
inline std::vector<double> normalized(layer_normalization kind, const std::vector<float>& x) {
  std::vector<double> out(x.begin(), x.end()), used;
  for (const float v : x)
    if (kind == layer_normalization::rank ? v == v : std::isfinite(v)) used.push_back(v);
  if (kind == layer_normalization::none || used.empty()) return out;
  const auto n = static_cast<double>(used.size());
  double sum = 0, magnitude = 0, squares = 0;
  for (const double v : used) {
    sum += v;
    magnitude += std::fabs(v);
  }
  for (const double v : used) squares += (v - sum / n) * (v - sum / n);
  const bool equal = std::all_of(used.begin(), used.end(), [&](double v) { return v == used[0]; });
  for (double& v : out) {
    if (kind == layer_normalization::rank ? v != v : !std::isfinite(v)) continue;
    if (kind == layer_normalization::layer_mean && magnitude > 0) v /= magnitude / n;
    if (kind == layer_normalization::layer_sum && magnitude > 0) v /= magnitude;
    if (kind == layer_normalization::standardize)
      v = equal ? 0 : (v - sum / n) / std::sqrt(squares / n);
    if (kind == layer_normalization::rank) {
      const auto below = std::count_if(used.begin(), used.end(), [&](double u) { return u < v; });
      const auto same = std::count(used.begin(), used.end(), v);
      v = used.size() == 1
              ? 0.5
              : (static_cast<double>(below) + 0.5 * static_cast<double>(same - 1)) / (n - 1);
    }
  }
  return out;
}

/// Calls f(score) for each item of a layer's level that selection ranks.
template <class F>
void for_ranked_tokens(const select_problem& p, const layer_scores& scores, F&& f) {
  for (index_t h = 0; h < p.kv_heads; ++h)
    for (index_t t = 0; t < p.tokens; ++t)
      if (!p.protect.covers(t, p.tokens) && !is_expired(p, t)) f(scores.tokens(h, t));
}
template <class F>
void for_ranked_groups(const select_problem& p, const layer_scores& scores, F&& f) {
  for (index_t h = 0; h < p.kv_heads; ++h)
    for (index_t t = 0; t < p.tokens; ++t)
      for (int g = 0; g < p.groups; ++g)
        if (!p.protect.covers(t, p.tokens) && !is_expired(p, t) &&
            (p.available.data == nullptr || p.available(h, t) >> g & 1))
          f(scores.groups(h, t, g));
}

/// What cpu::normalize_scores() must make of one layer's scores, up to rounding.
inline void normalize_scores(const score_normalization& kinds, const select_problem& p,
                             const layer_scores& scores) {
  const auto apply = [](layer_normalization kind, auto&& for_ranked) {
    std::vector<float> items;
    for_ranked([&](float& x) { items.push_back(x); });
    const std::vector<double> done = normalized(kind, items);
    auto next = done.begin();
    for_ranked([&](float& x) { x = static_cast<float>(*next++); });
  };
  if (kinds.tokens != layer_normalization::none)
    apply(kinds.tokens, [&](auto&& f) { for_ranked_tokens(p, scores, f); });
  if (kinds.groups != layer_normalization::none)
    apply(kinds.groups, [&](auto&& f) { for_ranked_groups(p, scores, f); });
}

}  // namespace rota::reference
