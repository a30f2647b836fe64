#include "diagnose/measures.hpp"

#include <algorithm>
#include <cmath>

namespace rota_lm::diagnose {

head_view view_head(const rota::selection& s, rota::index_t h, std::size_t tokens) {
  head_view out{std::vector<rota::group_mask>(tokens), std::vector<bool>(tokens)};
  for (rota::index_t i = 0; i < s.counts(h); ++i) {
    const auto at = static_cast<std::size_t>(s.indices(h, i));
    out.masks[at] = s.masks(h, i);
    out.survives[at] = true;
  }
  return out;
}

std::vector<double> ranks_of(std::span<const double> x) {
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

double spearman(std::span<const double> a, std::span<const double> b) {
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

std::array<double, 10> decile_means(std::span<const double> by, std::span<const double> value) {
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

double head_sums::mean_groups() const {
  double sum = 0;
  for (std::size_t k = 1; k < histogram.size(); ++k) {
    sum += static_cast<double>(k - 1) * histogram[k];
  }
  return survivors() > 0 ? sum / survivors() : 0;
}

void add_sample(head_sums& sums, const head_view& kept, const head_view& chosen,
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
