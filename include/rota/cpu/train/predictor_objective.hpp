#pragma once

#include <algorithm>
#include <vector>

#include <rota/cpu/eigen.hpp>
#include <rota/train/listwise.hpp>
#include <rota/train/predictor_weights.hpp>

namespace rota::cpu {

/// Listwise cross-entropy of a predictor on one sample: one list over every (later layer, kv head,
/// token, group), as one budget over all of them will rank. And its gradient. T is float to fit,
/// double to check. Allocates.
template <class T>
class predictor_objective {
 public:
  using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  /// `scale` [hidden]: states are divided by it, so that all channels learn at one rate.
  predictor_objective(const train::predictor_shape& shape, std::span<const float> scale)
      : shape_(shape),
        inverse_(Eigen::Map<const Eigen::RowVectorXf>(scale.data(), shape.hidden)
                     .cwiseInverse()
                     .template cast<T>()) {}

  /// The loss; adds the gradient to `gradient` unless that is empty.
  double operator()(std::span<const T> parameters, const train::calibration_sample& s,
                    std::span<T> gradient) const {
    const matrix x = states(s.hidden, s.tokens), query = states(s.query, s.queries);
    std::vector<pass> passes;
    std::vector<T> logits(s.target.size());
    for (index_t l = 0; l < shape_.layers; ++l)
      passes.push_back(forward(weights(parameters, l), x, query, block(logits, l, s.tokens)));
    std::vector<float> target(s.target.size());
    std::transform(s.target.begin(), s.target.end(), target.begin(),
                   [](bf16 t) { return static_cast<float>(t); });
    std::vector<T> slope(gradient.empty() ? 0 : logits.size());
    const double loss = train::listwise_cross_entropy<T>(logits, target, slope);
    for (index_t l = 0; l < shape_.layers && !gradient.empty(); ++l)
      backward(weights(parameters, l), x, query, passes[static_cast<std::size_t>(l)],
               block(slope, l, s.tokens), train::predictor_weights<T>(shape_, l, gradient.data()));
    return loss;
  }

  /// States of a sample, scaled: [rows, hidden].
  matrix states(std::span<const bf16> from, index_t rows) const {
    matrix x(rows, shape_.hidden);
    for (index_t i = 0; i < x.size(); ++i)
      x.data()[i] = static_cast<T>(static_cast<float>(from[static_cast<std::size_t>(i)]));
    x.array().rowwise() *= inverse_.array();
    return x;
  }

 private:
  using weight_views = train::predictor_weights<const T>;
  using block_map = Eigen::Map<matrix>;

  /// What the backward pass needs of the forward pass of a layer.
  struct pass {
    matrix token_z, query_z;        // [n, rank], [Q, rank]
    std::vector<matrix> attention;  // by kv head [n, Q]: softmax over the query tokens
  };

  weight_views weights(std::span<const T> parameters, index_t layer) const {
    return weight_views(shape_, layer, parameters.data());
  }
  block_map block(std::vector<T>& of_all, index_t layer, index_t tokens) const {
    return block_map(of_all.data() + layer * tokens * shape_.outputs(), tokens, shape_.outputs());
  }
  template <class U>
  static auto map(const view<U, 2>& v) {
    using plain = std::conditional_t<std::is_const_v<U>, const matrix, matrix>;
    return Eigen::Map<plain>(v.data, v.extent[0], v.extent[1]);
  }

  pass forward(const weight_views& w, const matrix& x, const matrix& query, block_map y) const {
    const Eigen::Map<const Eigen::Matrix<T, 1, Eigen::Dynamic>> bias(w.bias.data, shape_.outputs());
    y.noalias() = x * map(w.linear).transpose();
    y.rowwise() += bias;
    pass p;
    if (shape_.rank == 0) return p;
    p.token_z = x * map(w.token_factor).transpose();
    p.query_z = query * map(w.query_factor).transpose();
    for (index_t h = 0; h < shape_.kv_heads; ++h) {
      const auto mix = map(w.mix).row(h);
      matrix e = (p.token_z.array().rowwise() * mix.array()).matrix() * p.query_z.transpose();
      const Eigen::Matrix<T, Eigen::Dynamic, 1> top = e.rowwise().maxCoeff();
      e = (e.colwise() - top).array().exp().matrix();
      const Eigen::Matrix<T, Eigen::Dynamic, 1> sum = e.rowwise().sum();
      e.array().colwise() /= sum.array();
      y.middleCols(h * shape_.groups, shape_.groups).colwise() +=
          (top.array() + sum.array().log()).matrix();
      p.attention.push_back(std::move(e));
    }
    return p;
  }

  /// `slope` [n, outputs]: the derivative by the logits.
  void backward(const weight_views& w, const matrix& x, const matrix& query, const pass& p,
                block_map slope, const train::predictor_weights<T>& out) const {
    map(out.linear).noalias() += slope.transpose() * x;
    Eigen::Map<Eigen::Matrix<T, 1, Eigen::Dynamic>>(out.bias.data, shape_.outputs()) +=
        slope.colwise().sum();
    if (shape_.rank == 0) return;
    matrix token_slope = matrix::Zero(x.rows(), shape_.rank);
    matrix query_slope = matrix::Zero(query.rows(), shape_.rank);
    for (index_t h = 0; h < shape_.kv_heads; ++h) {
      const auto mix = map(w.mix).row(h);
      const Eigen::Matrix<T, Eigen::Dynamic, 1> shared =
          slope.middleCols(h * shape_.groups, shape_.groups).rowwise().sum();
      const matrix e =
          (p.attention[static_cast<std::size_t>(h)].array().colwise() * shared.array()).matrix();
      const matrix back = e * p.query_z;  // [n, rank]
      token_slope.array() += back.array().rowwise() * mix.array();
      query_slope.noalias() += e.transpose() * (p.token_z.array().rowwise() * mix.array()).matrix();
      map(out.mix).row(h) += (back.array() * p.token_z.array()).matrix().colwise().sum();
    }
    map(out.token_factor).noalias() += token_slope.transpose() * x;
    map(out.query_factor).noalias() += query_slope.transpose() * query;
  }

  train::predictor_shape shape_;
  Eigen::Matrix<T, 1, Eigen::Dynamic> inverse_;
};

}  // namespace rota::cpu
