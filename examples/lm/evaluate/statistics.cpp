#include "evaluate/statistics.hpp"

#include <algorithm>
#include <random>
#include <vector>

namespace rota_lm::eval {

interval wilson(double hits, double n) {
  if (n <= 0) return {0, 1};
  const double p = hits / n, zz = z95 * z95;
  const double middle = (p + zz / (2 * n)) / (1 + zz / n);
  const double half = z95 / (1 + zz / n) * std::sqrt(p * (1 - p) / n + zz / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

double mean_of(std::span<const outcome> outcomes) {
  double score = 0, weight = 0;
  for (const outcome& o : outcomes) {
    score += o.score;
    weight += o.weight;
  }
  return weight > 0 ? score / weight : std::numeric_limits<double>::quiet_NaN();
}

interval bootstrap(std::size_t n, std::uint64_t seed,
                   const std::function<double(std::span<const std::size_t>)>& statistic) {
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

double mean_of(std::span<const outcome> outcomes, std::span<const std::size_t> drawn) {
  double score = 0, weight = 0;
  for (const std::size_t i : drawn) {
    score += outcomes[i].score;
    weight += outcomes[i].weight;
  }
  return score / weight;
}

estimate accuracy(std::span<const outcome> outcomes) {
  if (outcomes.empty()) return {};
  const auto n = static_cast<double>(outcomes.size());
  const double p = mean_of(outcomes);
  return {p, wilson(p * n, n)};
}

bool hits_only(std::span<const outcome> outcomes) {
  return std::all_of(outcomes.begin(), outcomes.end(), [](const outcome& o) {
    return o.weight == 1 && (o.score == 0 || o.score == 1);
  });
}

estimate mean_share(std::span<const outcome> outcomes, std::uint64_t seed) {
  if (outcomes.empty()) return {};
  return {mean_of(outcomes),
          bootstrap(outcomes.size(), seed,
                    [&](std::span<const std::size_t> drawn) { return mean_of(outcomes, drawn); })};
}

estimate perplexity(std::span<const outcome> outcomes, std::uint64_t seed) {
  if (outcomes.empty()) return {};
  return {std::exp(mean_of(outcomes)),
          bootstrap(outcomes.size(), seed, [&](std::span<const std::size_t> drawn) {
            return std::exp(mean_of(outcomes, drawn));
          })};
}

paired_hits::paired_hits(std::span<const outcome> a, std::span<const outcome> b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool hit = a[i].score > 0.5, other = b[i].score > 0.5;
    (hit ? (other ? both : first) : (other ? second : neither)) += 1;
  }
}

estimate paired_difference(const paired_hits& h) {
  const double n = h.n();
  if (n <= 0) return {};
  const double p1 = (h.both + h.first) / n, p2 = (h.both + h.second) / n;
  const interval w1 = wilson(p1 * n, n), w2 = wilson(p2 * n, n);
  const double margins =
      (h.both + h.first) * (h.second + h.neither) * (h.both + h.second) * (h.first + h.neither);
  const double cross = h.both * h.neither - h.first * h.second;
  const double corrected = cross > 0 ? std::max(0.0, cross - n / 2) : cross;
  const double phi = margins > 0 ? corrected / std::sqrt(margins) : 0;
  const auto reach = [phi](double a, double b) {
    return std::sqrt(std::max(0.0, a * a - 2 * phi * a * b + b * b));
  };
  return {p1 - p2,
          {std::max(-1.0, p1 - p2 - reach(p1 - w1.low, w2.high - p2)),
           std::min(1.0, p1 - p2 + reach(w1.high - p1, p2 - w2.low))}};
}

double mcnemar_exact(const paired_hits& h) {
  const double n = h.first + h.second, least = std::min(h.first, h.second);
  double tail = 0;
  for (double k = 0; k <= least; ++k) {
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                     n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

estimate paired_difference(std::span<const outcome> a, std::span<const outcome> b,
                           std::uint64_t seed, const std::function<double(double)>& value) {
  if (a.empty() || a.size() != b.size()) return {};
  return {value(mean_of(a)) - value(mean_of(b)),
          bootstrap(a.size(), seed, [&](std::span<const std::size_t> drawn) {
            return value(mean_of(a, drawn)) - value(mean_of(b, drawn));
          })};
}

}  // namespace rota_lm::eval
