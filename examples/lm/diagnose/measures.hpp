// What a selection is like, beside what knowing the future would have chosen.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include <rota/select/selection.hpp>

namespace rota_lm::diagnose {

/// Groups that one kv head keeps of each token: K_j, and which.
struct head_view {
  std::vector<rota::group_mask> masks;  ///< [tokens]; of evicted tokens 0
  std::vector<bool> survives;           ///< [tokens]
};

inline head_view view_head(const rota::selection& s, rota::index_t h, std::size_t tokens) {
  head_view out{std::vector<rota::group_mask>(tokens), std::vector<bool>(tokens)};
  for (rota::index_t i = 0; i < s.counts(h); ++i) {
    const auto at = static_cast<std::size_t>(s.indices(h, i));
    out.masks[at] = s.masks(h, i);
    out.survives[at] = true;
  }
  return out;
}

/// A ranking's average ranks: ties share theirs.
inline std::vector<double> ranks_of(std::span<const double> x) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
  std::vector<double> out(x.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first;
    while (last < order.size() && x[order[last]] == x[order[first]]) ++last;
    for (std::size_t i = first; i < last; ++i) {
      out[order[i]] = static_cast<double>(first + last - 1) / 2;
    }
    first = last;
  }
  return out;
}

/// Spearman's rank correlation; 0 where one side is constant.
inline double spearman(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> x = ranks_of(a), y = ranks_of(b);
  const double mean = static_cast<double>(x.size()) / 2 - 0.5;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

/// Mean of `value` over the tokens of each tenth of `by`, the least first.
inline std::array<double, 10> decile_means(std::span<const double> by,
                                           std::span<const double> value) {
  std::vector<std::size_t> order(by.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return by[a] < by[b]; });
  std::array<double, 10> sums{}, counts{};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t tenth = i * 10 / order.size();
    sums[tenth] += value[order[i]];
    counts[tenth] += 1;
  }
  for (std::size_t t = 0; t < 10; ++t) sums[t] = counts[t] > 0 ? sums[t] / counts[t] : 0;
  return sums;
}

/// Sums over samples for one layer and kv head. Protected tokens take no part: nobody chose them.
struct head_sums {
  double samples = 0;
  std::vector<double> histogram;  ///< [S + 2]: evicted, then K_j = 0 .. S
  double pairs = 0, shared_pairs = 0, oracle_pairs = 0;
  double token_mass = 0, pair_mass = 0;  ///< shares of relevance kept, summed
  double correlation = 0;
  std::array<double, 10> deciles{};
  double output_error = 0;

  double tokens() const { return std::accumulate(histogram.begin(), histogram.end(), 0.0); }
  double survivors() const { return tokens() - (histogram.empty() ? 0 : histogram[0]); }
  double mean_groups() const {
    double sum = 0;
    for (std::size_t k = 1; k < histogram.size(); ++k) {
      sum += static_cast<double>(k - 1) * histogram[k];
    }
    return survivors() > 0 ? sum / survivors() : 0;
  }
};

/// Adds a sample. `relevance` [tokens, groups] is the oracle's, `chosen` by it under the same
/// budgets.
inline void add_sample(head_sums& sums, const head_view& kept, const head_view& chosen,
                       std::span<const float> relevance, std::size_t groups,
                       const rota::protection& protect) {
  sums.samples += 1;
  sums.histogram.resize(groups + 2);
  const std::size_t n = kept.masks.size();
  std::vector<double> k, r;
  double all = 0, tokens_kept = 0, pairs_kept = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (protect.covers(static_cast<rota::index_t>(i), static_cast<rota::index_t>(n))) continue;
    const int count = __builtin_popcount(kept.masks[i]);
    sums.histogram[kept.survives[i] ? static_cast<std::size_t>(count) + 1 : 0] += 1;
    sums.pairs += count;
    sums.oracle_pairs += __builtin_popcount(chosen.masks[i]);
    sums.shared_pairs += __builtin_popcount(kept.masks[i] & chosen.masks[i]);
    double mine = 0;
    for (std::size_t s = 0; s < groups; ++s) {
      const double x = static_cast<double>(relevance[i * groups + s]);
      mine += x;
      if ((kept.masks[i] >> s & 1) != 0) pairs_kept += x;
    }
    all += mine;
    if (kept.survives[i]) tokens_kept += mine;
    k.push_back(count);
    r.push_back(mine);
  }
  if (all > 0) {
    sums.token_mass += tokens_kept / all;
    sums.pair_mass += pairs_kept / all;
  }
  if (k.empty()) return;
  sums.correlation += spearman(k, r);
  const std::array<double, 10> means = decile_means(r, k);
  for (std::size_t t = 0; t < 10; ++t) sums.deciles[t] += means[t];
}

}  // namespace rota_lm::diagnose
