// What a selection is like, beside what knowing the future would have chosen.
#pragma once

#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <rota/core/types.hpp>
#include <rota/select/selection.hpp>

namespace rota_lm::diagnose {

/// Groups that one kv head keeps of each token: K_j, and which.
struct head_view {
  std::vector<rota::group_mask> masks;  ///< [tokens]; of evicted tokens 0
  std::vector<bool> survives;           ///< [tokens]
};

head_view view_head(const rota::selection& s, rota::index_t h, std::size_t tokens);

/// A ranking's average ranks: ties share theirs.
std::vector<double> ranks_of(std::span<const double> x);

/// Spearman's rank correlation; 0 where one side is constant.
double spearman(std::span<const double> a, std::span<const double> b);

/// Mean of `value` over the tokens of each tenth of `by`, the least first.
std::array<double, 10> decile_means(std::span<const double> by, std::span<const double> value);

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
  double mean_groups() const;
};

/// Adds a sample. `relevance` [tokens, groups] is the oracle's, `chosen` by it under the same
/// budgets.
void add_sample(head_sums& sums, const head_view& kept, const head_view& chosen,
                std::span<const float> relevance, std::size_t groups,
                const rota::protection& protect);

}  // namespace rota_lm::diagnose
