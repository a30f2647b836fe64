// Which value groups of a prefix the later tokens of a training sequence read, and how the choice
// is learned.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <rota/cpu/train/matrix.hpp>
#include <rota/train/straight_through.hpp>

#include "adapt/parameters.hpp"

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

  router_map(router_form form, std::size_t kv_heads, std::size_t groups)
      : form_(form),
        heads_(static_cast<Eigen::Index>(kv_heads)),
        groups_(static_cast<Eigen::Index>(groups)) {}

  matrix logits(const matrix& outputs) const {
    if (form_ == router_form::per_head) return outputs;
    const matrix shared = outputs.rightCols(groups_);
    matrix out = shared.replicate(1, heads_);
    for (Eigen::Index h = 0; h < heads_ && form_ == router_form::hierarchical; ++h)
      out.middleCols(h * groups_, groups_).colwise() += outputs.col(h);
    return out;
  }

  matrix outputs_slope(const matrix& dlogits) const {
    if (form_ == router_form::per_head) return dlogits;
    const bool split = form_ == router_form::hierarchical;
    matrix out = matrix::Zero(dlogits.rows(), groups_ + (split ? heads_ : 0));
    for (Eigen::Index h = 0; h < heads_; ++h) {
      const auto part = dlogits.middleCols(h * groups_, groups_);
      out.rightCols(groups_) += part;
      if (split) out.col(h) = part.rowwise().sum();
    }
    return out;
  }

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
/// logits [n, kv_heads * S] of adaptive_span; of entropy_span the mass before each, negated.
template <class T>
void add_levels(const adapter_setting& s, const rota::cpu::train_matrix<T>& logits,
                std::size_t groups, std::vector<float>& out) {
  std::vector<T> before(groups);
  const Eigen::Index last = logits.rows() - static_cast<Eigen::Index>(s.window);
  for (auto t = static_cast<Eigen::Index>(s.sinks); t < last; ++t)
    for (Eigen::Index g = 0; g < logits.cols(); g += static_cast<Eigen::Index>(groups)) {
      const std::span<const T> row(logits.row(t).data() + g, groups);
      if (s.groups == group_rule::entropy_span) {
        rota::train::straight_through<T>().masses_before(row, before);
        for (const T mass : before) out.push_back(-static_cast<float>(mass));
      } else {
        for (const T z : row) out.push_back(static_cast<float>(z));
      }
    }
}

/// Groups that each (layer, kv head) keeps of every token under fixed_groups, best first:
/// [layers * kv_heads][S].
using group_order = std::vector<std::vector<int>>;

template <class T>
class value_router {
 public:
  using matrix = rota::cpu::train_matrix<T>;

  value_router(const model_config& c, const adapter_setting& s, const group_order& fixed)
      : kv_heads_(c.kv_heads), groups_(s.groups_of(c)), setting_(s), fixed_(fixed) {}

  /// `logits`: of a learned choice; else not read. v [n, kv_heads * d].
  value_mask<T> choose(std::size_t layer, const value_budget<T>& budget, const matrix& logits,
                       const matrix& v) const {
    const auto columns = static_cast<Eigen::Index>(kv_heads_ * groups_);
    value_mask<T> m{matrix::Ones(v.rows(), columns), matrix::Zero(v.rows(), columns)};
    if (setting_.groups == group_rule::all || budget.rho >= 1) return m;
    const Eigen::Index first = static_cast<Eigen::Index>(setting_.sinks);
    const Eigen::Index last = v.rows() - static_cast<Eigen::Index>(setting_.window);
    for (Eigen::Index t = first; t < last; ++t)
      for (std::size_t h = 0; h < kv_heads_; ++h) choose_of_head(layer, budget, logits, v, t, h, m);
    return m;
  }

  /// Groups that fixed_k and its like keep of a token.
  std::size_t count(double rho) const {
    return static_cast<std::size_t>(std::lround(rho * static_cast<double>(groups_)));
  }

 private:
  void choose_of_head(std::size_t layer, const value_budget<T>& budget, const matrix& logits,
                      const matrix& v, Eigen::Index token, std::size_t head,
                      value_mask<T>& m) const {
    const auto row = [&](auto& of) {
      return std::span(of.row(token).data() + head * groups_, groups_);
    };
    const auto kept = row(m.kept), slopes = row(m.slopes);
    if (setting_.groups == group_rule::fixed_groups) {
      const std::vector<int>& order = fixed_[layer * kv_heads_ + head];
      for (std::size_t i = count(budget.rho); i < groups_; ++i)
        kept[static_cast<std::size_t>(order[i])] = 0;
    } else if (setting_.groups == group_rule::value_norm) {
      const std::vector<T> norms = slice_norms(v, token, head);
      choice_.keep_largest(std::span<const T>(norms), count(budget.rho), kept, slopes);
      std::fill(slopes.begin(), slopes.end(), T{0});  // nothing to learn
    } else if (setting_.groups == group_rule::fixed_k) {
      choice_.keep_largest(std::span<const T>(row(logits)), count(budget.rho), kept, slopes);
    } else if (setting_.groups == group_rule::entropy_span) {
      choice_.keep_mass(std::span<const T>(row(logits)), -budget.threshold, kept, slopes);
    } else {
      choice_.keep_above(std::span<const T>(row(logits)), budget.threshold, kept, slopes);
    }
  }

  std::vector<T> slice_norms(const matrix& v, Eigen::Index token, std::size_t head) const {
    const std::size_t w = setting_.group_width;
    std::vector<T> out(groups_);
    const T* at = v.row(token).data() + head * groups_ * w;
    for (std::size_t g = 0; g < groups_; ++g)
      out[g] = std::sqrt(std::inner_product(at + g * w, at + (g + 1) * w, at + g * w, T{0}));
    return out;
  }

  std::size_t kv_heads_, groups_;
  const adapter_setting& setting_;
  const group_order& fixed_;
  rota::train::straight_through<T> choice_;
};

}  // namespace rota_lm
