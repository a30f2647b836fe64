// Intervals that stand beside every number.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace rota_lm::eval {

inline constexpr double z95 = 1.959963984540054;
inline constexpr std::size_t resamples = 1000;

struct interval {
  double low = 0;
  double high = 0;
};

/// A number with its 95% interval.
struct estimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  interval range{value, value};

  bool known() const { return !std::isnan(value); }
};

/// What one sample gives: a hit or none (1 or 0), or a sum of losses over `weight` tokens.
struct outcome {
  double score = 0;
  double weight = 1;
};

/// Wilson's interval of a proportion: sound near 0 and 1, where accuracies live.
inline interval wilson(double hits, double n) {
  if (n <= 0) return {0, 1};
  const double p = hits / n, zz = z95 * z95;
  const double middle = (p + zz / (2 * n)) / (1 + zz / n);
  const double half = z95 / (1 + zz / n) * std::sqrt(p * (1 - p) / n + zz / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

/// sum(score) / sum(weight): accuracy, or loss per token.
inline double mean_of(std::span<const outcome> outcomes) {
  double score = 0, weight = 0;
  for (const outcome& o : outcomes) {
    score += o.score;
    weight += o.weight;
  }
  return weight > 0 ? score / weight : std::numeric_limits<double>::quiet_NaN();
}

/// Percentile bootstrap over `n` samples: statistic(indices) of seeded resamples. The same seed
/// and n draw the same resamples, so differences of paired rows may be taken inside.
template <class Statistic>
interval bootstrap(std::size_t n, std::uint64_t seed, Statistic&& statistic) {
  std::mt19937_64 random(seed);
  std::vector<std::size_t> drawn(n);
  std::vector<double> values(resamples);
  for (double& value : values) {
    // Not std::uniform_int_distribution, whose draws differ between standard libraries.
    for (std::size_t& i : drawn) i = static_cast<std::size_t>(random() % n);
    value = statistic(std::span<const std::size_t>(drawn));
  }
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(resamples - 1)))];
  };
  return {at(0.025), at(0.975)};
}

inline double mean_of(std::span<const outcome> outcomes, std::span<const std::size_t> drawn) {
  double score = 0, weight = 0;
  for (const std::size_t i : drawn) {
    score += outcomes[i].score;
    weight += outcomes[i].weight;
  }
  return score / weight;
}

inline estimate accuracy(std::span<const outcome> outcomes) {
  if (outcomes.empty()) return {};
  const auto n = static_cast<double>(outcomes.size());
  const double p = mean_of(outcomes);
  return {p, wilson(p * n, n)};
}

/// exp of the mean loss per token; samples are resampled whole.
inline estimate perplexity(std::span<const outcome> outcomes, std::uint64_t seed) {
  if (outcomes.empty()) return {};
  return {std::exp(mean_of(outcomes)),
          bootstrap(outcomes.size(), seed, [&](std::span<const std::size_t> drawn) {
            return std::exp(mean_of(outcomes, drawn));
          })};
}

/// value(a) - value(b) over the same samples, where value(x) is a function of x's mean.
template <class Value>
estimate paired_difference(std::span<const outcome> a, std::span<const outcome> b,
                           std::uint64_t seed, Value&& value) {
  if (a.empty() || a.size() != b.size()) return {};
  return {value(mean_of(a)) - value(mean_of(b)),
          bootstrap(a.size(), seed, [&](std::span<const std::size_t> drawn) {
            return value(mean_of(a, drawn)) - value(mean_of(b, drawn));
          })};
}

}  // namespace rota_lm::eval
