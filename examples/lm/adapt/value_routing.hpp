// Which value groups of a prefix the later tokens of a training sequence read, and how the choice
// is learned.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/train/matrix.hpp>
#include <rota/train/straight_through.hpp>

#include "adapt/setting.hpp"

namespace rota_lm {

/// How much of a sequence's values is kept.
template <class T>
struct value_budget {
  double rho = 1;
  T threshold = 0;  ///< of a calibrated rule: the least level that is kept
};

/// A router's outputs [n, router_outputs] as one logit for each (kv head, group): [n, kv_heads *
/// S].
template <class T>
class router_map {
 public:
  using matrix = rota::cpu::train_matrix<T>;

  router_map(router_form form, std::size_t kv_heads, std::size_t groups);

  matrix logits(const matrix& outputs) const;
  matrix outputs_slope(const matrix& dlogits) const;

 private:
  router_form form_;
  Eigen::Index heads_, groups_;
};

/// The mask of one layer's prefix [n, kv_heads * S], and the slopes of a learned one.
template <class T>
struct value_mask {
  rota::cpu::train_matrix<T> kept, slopes;
};

/// Appends what the threshold of a calibrated rule cuts, of all tokens that are decided about: the
/// logits [n, kv_heads * S] of adaptive_span; of entropy_span the mass before each, negated. T is
/// float or double.
template <class T>
void add_levels(const adapter_setting& s, const rota::cpu::train_matrix<T>& logits,
                std::size_t groups, std::vector<float>& out);

/// The rho-th largest of some numbers: as many reach it as rho says. `all` is reordered.
float threshold_for(std::vector<float>& all, double rho);

/// Groups that each (layer, kv head) keeps of every token under fixed_groups, best first:
/// [layers * kv_heads][S].
using group_order = std::vector<std::vector<int>>;

/// Refers to the setting and to the order.
template <class T>
class value_router {
 public:
  using matrix = rota::cpu::train_matrix<T>;

  value_router(const model_config& c, const adapter_setting& s, const group_order& fixed);

  /// `logits`: of a learned choice; else not read. v [n, kv_heads * d].
  value_mask<T> choose(std::size_t layer, const value_budget<T>& budget, const matrix& logits,
                       const matrix& v) const;

  /// Groups that fixed_k and its like keep of a token.
  std::size_t count(double rho) const;

 private:
  void choose_of_head(std::size_t layer, const value_budget<T>& budget, const matrix& logits,
                      const matrix& v, Eigen::Index token, std::size_t head,
                      value_mask<T>& m) const;
  std::vector<T> slice_norms(const matrix& v, Eigen::Index token, std::size_t head) const;

  std::size_t kv_heads_, groups_;
  const adapter_setting& setting_;
  const group_order& fixed_;
  rota::train::straight_through<T> choice_;
};

extern template class router_map<float>;
extern template class router_map<double>;
extern template class value_router<float>;
extern template class value_router<double>;

}  // namespace rota_lm
