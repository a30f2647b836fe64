// Fractions in the words of each budget: what "keep half" is as a ratio, a count a row, a count in
// all, or a threshold.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include <rota/rota.hpp>

namespace rota_lm::eval {

/// The score that the best `count` of `ranked` reach: a threshold calibrated on this sequence's own
/// scores, so that rows of equal bytes can be compared. An engine would calibrate it beforehand.
inline float threshold_for(std::vector<float> ranked, double count) {
  if (count >= static_cast<double>(ranked.size())) return -std::numeric_limits<float>::infinity();
  if (count < 1) return std::numeric_limits<float>::infinity();
  const auto nth = ranked.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(ranked.begin(), nth, ranked.end(), std::greater<>());
  return *nth;
}

/// The tokens of a span of layers, as a token budget counts them.
class token_level {
 public:
  token_level(std::span<const rota::select_problem> problems,
              std::span<const rota::layer_scores> scores)
      : problems_(problems), scores_(scores) {}

  /// Items of a row: tokens of a head.
  double row() const { return static_cast<double>(problems_[0].tokens); }
  double all() const {
    double items = 0;
    for (const rota::select_problem& p : problems_) {
      items += static_cast<double>(p.kv_heads * p.tokens);
    }
    return items;
  }
  float threshold(double count) const {
    std::vector<float> ranked;
    double guarded = 0;
    for (std::size_t l = 0; l < problems_.size(); ++l) {
      const rota::select_problem& p = problems_[l];
      for (rota::index_t h = 0; h < p.kv_heads; ++h) {
        for (rota::index_t i = p.expired(); i < p.tokens; ++i) {
          if (p.protect.covers(i, p.tokens)) {
            ++guarded;
          } else {
            ranked.push_back(scores_[l].tokens(h, i));
          }
        }
      }
    }
    return threshold_for(std::move(ranked), count - guarded);
  }

 private:
  std::span<const rota::select_problem> problems_;
  std::span<const rota::layer_scores> scores_;
};

/// The value groups of the survivors of a token stage.
class group_level {
 public:
  group_level(std::span<const rota::select_problem> problems,
              std::span<const rota::layer_scores> scores,
              std::span<const rota::selection> survivors)
      : problems_(problems), scores_(scores), survivors_(survivors) {}

  /// Items of a row: groups of a token.
  double row() const { return problems_[0].groups; }
  double all() const {
    double items = 0;
    for (std::size_t l = 0; l < problems_.size(); ++l) {
      for (rota::index_t h = 0; h < problems_[l].kv_heads; ++h) {
        items += survivors_[l].counts(h) * problems_[l].groups;
      }
    }
    return items;
  }
  float threshold(double count) const {
    std::vector<float> ranked;
    double guarded = 0;
    for (std::size_t l = 0; l < problems_.size(); ++l) {
      const rota::select_problem& p = problems_[l];
      for (rota::index_t h = 0; h < p.kv_heads; ++h) {
        for (rota::index_t k = 0; k < survivors_[l].counts(h); ++k) {
          const rota::index_t i = survivors_[l].indices(h, k);
          if (p.protect.covers(i, p.tokens)) {
            guarded += p.groups;
            continue;
          }
          const float* row = scores_[l].groups.row(h, i);
          ranked.insert(ranked.end(), row, row + p.groups);
        }
      }
    }
    return threshold_for(std::move(ranked), count - guarded);
  }

 private:
  std::span<const rota::select_problem> problems_;
  std::span<const rota::layer_scores> scores_;
  std::span<const rota::selection> survivors_;
};

/// A budget's parameters that keep about `fraction` of a level's items.
template <class Budget, class Level>
typename Budget::params budget_at(double fraction, const Level& level) {
  typename Budget::params p;
  if constexpr (std::is_same_v<Budget, rota::keep_ratio>) {
    p.ratio = fraction;
  } else if constexpr (std::is_same_v<Budget, rota::fixed_k>) {
    p.k = std::llround(fraction * level.row());
  } else if constexpr (std::is_same_v<Budget, rota::global_top_m>) {
    p.m = std::llround(fraction * level.all());
  } else {
    static_assert(std::is_same_v<Budget, rota::adaptive_span>);
    p.tau = level.threshold(fraction * level.all());
  }
  return p;
}

}  // namespace rota_lm::eval
