// Intervals that stand beside every number.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

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

/// What one sample gives: a hit or none (1 or 0) or a share between, or a sum of losses over
/// `weight` tokens.
struct outcome {
  double score = 0;
  double weight = 1;
};

/// Wilson's interval of a proportion: sound near 0 and 1, where accuracies live.
interval wilson(double hits, double n);

/// sum(score) / sum(weight): accuracy, or loss per token.
double mean_of(std::span<const outcome> outcomes);

/// Percentile bootstrap over `n` samples: statistic(indices) of seeded resamples. The same seed
/// and n draw the same resamples, so differences of paired rows may be taken inside.
interval bootstrap(std::size_t n, std::uint64_t seed,
                   const std::function<double(std::span<const std::size_t>)>& statistic);
double mean_of(std::span<const outcome> outcomes, std::span<const std::size_t> drawn);
estimate accuracy(std::span<const outcome> outcomes);

/// Whether each sample is a hit or none: then intervals have closed forms.
bool hits_only(std::span<const outcome> outcomes);

/// Mean of shares between a miss and a hit.
estimate mean_share(std::span<const outcome> outcomes, std::uint64_t seed);

/// exp of the mean loss per token; samples are resampled whole.
estimate perplexity(std::span<const outcome> outcomes, std::uint64_t seed);

/// How two rows of hits and misses fell on the same samples.
struct paired_hits {
  double both = 0, first = 0, second = 0, neither = 0;

  paired_hits(std::span<const outcome> a, std::span<const outcome> b);
  double n() const { return both + first + second + neither; }
};

/// First's accuracy less second's, with Newcombe's square-and-add interval for paired proportions
/// (Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10): never of width zero.
estimate paired_difference(const paired_hits& h);

/// Two-sided p-value of McNemar's exact test: the chance that samples on which two equally good
/// rows differ fall as unevenly as these or more.
double mcnemar_exact(const paired_hits& h);

/// value(a) - value(b) over the same samples, where value(x) is a function of x's mean.
estimate paired_difference(std::span<const outcome> a, std::span<const outcome> b,
                           std::uint64_t seed, const std::function<double(double)>& value);

}  // namespace rota_lm::eval
