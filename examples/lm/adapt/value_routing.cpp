#include "adapt/value_routing.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <span>

namespace rota_lm {

template <class T>
router_map<T>::router_map(router_form form, std::size_t kv_heads, std::size_t groups)
    : form_(form),
      heads_(static_cast<Eigen::Index>(kv_heads)),
      groups_(static_cast<Eigen::Index>(groups)) {}

template <class T>
auto router_map<T>::logits(const matrix& outputs) const -> matrix {
  if (form_ == router_form::per_head) return outputs;
  const matrix shared = outputs.rightCols(groups_);
  matrix out = shared.replicate(1, heads_);
  for (Eigen::Index h = 0; h < heads_ && form_ == router_form::hierarchical; ++h)
    out.middleCols(h * groups_, groups_).colwise() += outputs.col(h);
  return out;
}

template <class T>
auto router_map<T>::outputs_slope(const matrix& dlogits) const -> matrix {
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

float threshold_for(std::vector<float>& all, double rho) {
  const auto kept = static_cast<std::size_t>(std::lround(rho * static_cast<double>(all.size())));
  if (kept == 0 || all.empty()) return std::numeric_limits<float>::max();
  const auto place = all.begin() + static_cast<std::ptrdiff_t>(kept - 1);
  std::nth_element(all.begin(), place, all.end(), std::greater<>());
  return *place;
}

template <class T>
value_router<T>::value_router(const model_config& c, const adapter_setting& s,
                              const group_order& fixed)
    : kv_heads_(c.kv_heads), groups_(s.groups_of(c)), setting_(s), fixed_(fixed) {}

template <class T>
value_mask<T> value_router<T>::choose(std::size_t layer, const value_budget<T>& budget,
                                      const matrix& logits, const matrix& v) const {
  const auto columns = static_cast<Eigen::Index>(kv_heads_ * groups_);
  value_mask<T> m{matrix::Ones(v.rows(), columns), matrix::Zero(v.rows(), columns)};
  if (setting_.groups == group_rule::all || budget.rho >= 1) return m;
  const Eigen::Index first = static_cast<Eigen::Index>(setting_.sinks);
  const Eigen::Index last = v.rows() - static_cast<Eigen::Index>(setting_.window);
  for (Eigen::Index t = first; t < last; ++t)
    for (std::size_t h = 0; h < kv_heads_; ++h) choose_of_head(layer, budget, logits, v, t, h, m);
  return m;
}

template <class T>
std::size_t value_router<T>::count(double rho) const {
  return static_cast<std::size_t>(std::lround(rho * static_cast<double>(groups_)));
}

template <class T>
void value_router<T>::choose_of_head(std::size_t layer, const value_budget<T>& budget,
                                     const matrix& logits, const matrix& v, Eigen::Index token,
                                     std::size_t head, value_mask<T>& m) const {
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

template <class T>
std::vector<T> value_router<T>::slice_norms(const matrix& v, Eigen::Index token,
                                            std::size_t head) const {
  const std::size_t w = setting_.group_width;
  std::vector<T> out(groups_);
  const T* at = v.row(token).data() + head * groups_ * w;
  for (std::size_t g = 0; g < groups_; ++g)
    out[g] = std::sqrt(std::inner_product(at + g * w, at + (g + 1) * w, at + g * w, T{0}));
  return out;
}

template class router_map<float>;
template class router_map<double>;
template class value_router<float>;
template class value_router<double>;
template void add_levels(const adapter_setting&, const rota::cpu::train_matrix<float>&, std::size_t,
                         std::vector<float>&);
template void add_levels(const adapter_setting&, const rota::cpu::train_matrix<double>&,
                         std::size_t, std::vector<float>&);

}  // namespace rota_lm
