#include "adapt/start.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "adapt/trainable.hpp"
#include "generator/prng.hpp"

namespace rota_lm {

value_moments gather_moments(const model& base, const std::vector<std::vector<token_id>>& of) {
  adapter_setting dense;
  dense.groups = group_rule::all;
  const parameter_layout layout(base.config(), dense);
  const trainable_model<float> plain(base, layout, {});
  const auto heads = static_cast<Eigen::Index>(base.config().kv_heads);
  const auto d = static_cast<Eigen::Index>(base.config().head_dim);
  value_moments out(base.config().layers * base.config().kv_heads, Eigen::MatrixXd::Zero(d, d));
  for (const std::vector<token_id>& ids : of) {
    static_cast<void>(
        plain.run({}, {ids, ids.size(), {}}, {}, 0, {}, [&](std::size_t layer, const auto& seen) {
          for (Eigen::Index h = 0; h < heads; ++h) {
            const Eigen::MatrixXd v = seen.v.middleCols(h * d, d).template cast<double>();
            out[layer * static_cast<std::size_t>(heads) + static_cast<std::size_t>(h)] +=
                v.transpose() * v / static_cast<double>(v.rows() * std::ssize(of));
          }
        }));
  }
  return out;
}

group_order order_by_energy(const value_moments& moments, std::size_t width) {
  group_order out;
  for (const Eigen::MatrixXd& m : moments) {
    const auto groups = static_cast<std::size_t>(m.rows()) / width;
    std::vector<double> energy(groups);
    for (std::size_t i = 0; i < groups * width; ++i)
      energy[i / width] += m(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(i));
    std::vector<int>& order = out.emplace_back(groups);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return energy[static_cast<std::size_t>(a)] > energy[static_cast<std::size_t>(b)];
    });
  }
  return out;
}

template <class T>
std::vector<T> initial_parameters(const parameter_layout& layout, const value_moments& moments,
                                  std::uint64_t seed) {
  std::vector<T> out(layout.size());
  synth::prng random(synth::prng::mix(seed));
  const auto uniform = [&](double spread) {  // of standard deviation `spread`
    const double x = static_cast<double>(random.next() >> 11) * 0x1p-53;
    return static_cast<T>((2 * x - 1) * std::sqrt(3.0) * spread);
  };
  for (const parameter_layout::tensor& t : layout.tensors()) {
    T* at = out.data() + t.first;
    if (t.name.ends_with(".down")) {
      const double spread = 1 / std::sqrt(static_cast<double>(t.shape[1]));
      for (std::size_t i = 0; i < t.size(); ++i) at[i] = uniform(spread);
    } else if (t.name.ends_with("router") || t.name.ends_with("router.weight")) {
      for (std::size_t i = 0; i < t.size(); ++i) at[i] = uniform(0.02);
    }
  }
  if (!layout.has_codec()) return out;
  const auto rank = static_cast<Eigen::Index>(layout.setting().fill_rank);
  for (std::size_t l = 0; l < layout.config().layers; ++l)
    for (std::size_t h = 0; h < layout.config().kv_heads; ++h) {
      const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(
          moments[l * layout.config().kv_heads + h]);
      const auto place = static_cast<rota::index_t>(h);
      for (const auto& factor : {layout.encode(l, out.data()), layout.decode(l, out.data())})
        for (Eigen::Index r = 0; r < rank; ++r)
          for (Eigen::Index c = 0; c < eigen.eigenvectors().rows(); ++c)
            factor(place, r, c) =
                static_cast<T>(eigen.eigenvectors()(c, eigen.eigenvectors().cols() - 1 - r));
    }
  return out;
}

template std::vector<float> initial_parameters(const parameter_layout&, const value_moments&,
                                               std::uint64_t);
template std::vector<double> initial_parameters(const parameter_layout&, const value_moments&,
                                                std::uint64_t);

}  // namespace rota_lm
