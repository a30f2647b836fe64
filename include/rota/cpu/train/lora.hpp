#pragma once

#include <rota/cpu/train/matrix.hpp>
#include <rota/lora/routing.hpp>
#include <rota/train/lora_shape.hpp>

namespace rota::cpu {

/// An adapter's part of a projection, forth and back: y += scale ((x A') o G) B', G the gates of
/// the subspaces that each token chose, 0 for the others. The choice is hard in both directions:
/// gates get gradients, what was not chosen gets none but the balance term's. Allocates.
///
/// Balance term (Shazeer et al. 2017 in the form of Fedus et al. 2021, arXiv 2101.03961), which is
/// 1 when all subspaces are used alike: N sum_i f_i p_i, f_i the share of the choices that fell on
/// i, p_i the mean of softmax(z)_i over the tokens.
template <class T>
class lora_layer {
 public:
  using matrix = train_matrix<T>;
  using weights = train::lora_views<const T>;

  explicit lora_layer(const train::lora_shape& shape) : shape_(shape) {}

  /// What the way back needs of the way forth.
  struct pass {
    matrix inner;   ///< x A' [n, r]
    matrix gates;   ///< [n, N]
    matrix shares;  ///< softmax of the logits [n, N]
    double balance = 1;
  };

  const train::lora_shape& shape() const { return shape_; }

  /// x [n, in]; adds to y [n, out].
  pass forward(const weights& w, const matrix& x, matrix& y) const {
    pass p;
    p.inner.noalias() = x * as_matrix(w.down).transpose();
    if (shape_.routed()) route(w, x, p);
    y.noalias() += static_cast<T>(shape_.scale()) * gated(p, p.inner) * as_matrix(w.up);
    return p;
  }

  /// Adds to dx [n, in] and to the weights' gradient. `balance`: the weight of the balance term in
  /// the loss.
  void backward(const weights& w, const matrix& x, const pass& p, const matrix& dy, double balance,
                matrix& dx, const train::lora_views<T>& gradient) const {
    const auto scale = static_cast<T>(shape_.scale());
    const matrix hidden_slope = scale * dy * as_matrix(w.up).transpose();
    as_matrix(gradient.up).noalias() += scale * gated(p, p.inner).transpose() * dy;
    const matrix inner_slope = gated(p, hidden_slope);
    as_matrix(gradient.down).noalias() += inner_slope.transpose() * x;
    dx.noalias() += inner_slope * as_matrix(w.down);
    if (!shape_.routed()) return;
    const matrix slope = logit_slope(p, hidden_slope, balance);
    as_matrix(gradient.router).noalias() += slope.transpose() * x;
    as_row(gradient.router_bias) += slope.colwise().sum();
    dx.noalias() += slope * as_matrix(w.router);
  }

 private:
  void route(const weights& w, const matrix& x, pass& p) const {
    matrix z = x * as_matrix(w.router).transpose();
    z.rowwise() += as_row(w.router_bias);
    p.gates = matrix::Zero(z.rows(), z.cols());
    p.shares = (z.colwise() - z.rowwise().maxCoeff()).array().exp();
    p.shares.array().colwise() /= p.shares.rowwise().sum().array().eval();
    std::vector<int> chosen(static_cast<std::size_t>(shape_.active));
    std::vector<T> of_chosen(chosen.size()), gates(chosen.size());
    for (index_t t = 0; t < z.rows(); ++t) {
      const Eigen::RowVectorXf logits = z.row(t).template cast<float>();
      choose_largest(logits.data(), shape_.subspaces, shape_.active, chosen.data());
      for (std::size_t i = 0; i < chosen.size(); ++i) of_chosen[i] = z(t, chosen[i]);
      if (shape_.gate == train::gate_kind::softmax)
        softmax_gate::gates(of_chosen.data(), shape_.active, gates.data());
      else
        sigmoid_gate::gates(of_chosen.data(), shape_.active, gates.data());
      for (std::size_t i = 0; i < chosen.size(); ++i) p.gates(t, chosen[i]) = gates[i];
    }
    p.balance = shape_.subspaces * static_cast<double>(use(p).dot(p.shares.colwise().mean()));
  }

  /// Share of the choices that fell on each subspace.
  Eigen::Matrix<T, 1, Eigen::Dynamic> use(const pass& p) const {
    return (p.gates.array() != 0).template cast<T>().colwise().mean().matrix() /
           static_cast<T>(shape_.active);
  }

  /// [n, r], each subspace times its gate.
  matrix gated(const pass& p, const matrix& m) const {
    matrix out = m;
    for (int i = 0; i < shape_.subspaces && shape_.routed(); ++i)
      block(out, i).array().colwise() *= p.gates.col(i).array();
    return out;
  }

  /// The derivative by the router's logits [n, N].
  matrix logit_slope(const pass& p, const matrix& hidden_slope, double balance) const {
    const auto k = static_cast<T>(shape_.active);
    matrix d(p.gates.rows(), p.gates.cols());
    for (int i = 0; i < shape_.subspaces; ++i)
      d.col(i) = (block(hidden_slope, i).array() * block(p.inner, i).array()).rowwise().sum();
    if (shape_.gate == train::gate_kind::softmax) {
      const auto mean = ((d.array() * p.gates.array()).rowwise().sum() / k).eval();
      d = p.gates.array() * (d.array().colwise() - mean);
    } else {
      d = d.array() * p.gates.array() * (1 - p.gates.array() / 2);
    }
    const auto used = use(p);
    const Eigen::Matrix<T, Eigen::Dynamic, 1> mean_use = p.shares * used.transpose();
    const T unit = static_cast<T>(balance * shape_.subspaces / static_cast<double>(d.rows()));
    d.array() +=
        unit * p.shares.array() * ((-mean_use).replicate(1, d.cols()).rowwise() + used).array();
    return d;
  }

  template <class M>
  auto block(M& m, int subspace) const {
    const index_t part = shape_.rank / shape_.subspaces;
    return m.middleCols(subspace * part, part);
  }

  train::lora_shape shape_;
};

}  // namespace rota::cpu
