#pragma once

#include <vector>

#include <rota/cpu/train/fill_kind.hpp>
#include <rota/cpu/train/matrix.hpp>

namespace rota::cpu {

/// What later tokens read of a prefix's values once groups are dropped: kept groups as they are,
/// dropped ones as the fill has them. Forth and back; the mask is a number between 0 and 1 here, so
/// that a router has a derivative to learn from. Allocates.
///   zero      0
///   mean      of the dropped slices of the kv head and group
///   low_rank  B A (M v): A [r, d] makes the code of what is kept, B' [r, d] the values of it
template <class T>
class train_fill {
 public:
  using matrix = train_matrix<T>;

  fill_kind kind = fill_kind::zero;
  index_t kv_heads = 0, head_dim = 0, width = 0;  ///< width: of a group
  index_t rank = 0;                               ///< of low_rank

  /// [kv_heads, r, d] each; empty but for low_rank.
  template <class U>
  struct codec {
    view<U, 3> encode, decode;
  };

  struct pass {
    matrix mask;    ///< [n, kv_heads * d], each group's number on each of its channels
    matrix filler;  ///< the same shape: what stands in where the mask is 0
    matrix codes;   ///< [n, kv_heads * r]
    Eigen::Matrix<T, 1, Eigen::Dynamic> dropped;  ///< by channel: sum of 1 - mask
  };

  /// v [n, kv_heads * d], mask [n, kv_heads * S]; writes `stored`, shaped as v.
  pass forward(const matrix& v, const matrix& mask, const codec<const T>& c, matrix& stored) const {
    pass p;
    p.mask.resize(v.rows(), v.cols());
    for (index_t g = 0; g < mask.cols(); ++g)
      p.mask.middleCols(g * width, width) = mask.col(g).replicate(1, width);
    p.filler = matrix::Zero(v.rows(), v.cols());
    if (kind == fill_kind::mean) {
      p.dropped = (1 - p.mask.array()).colwise().sum().matrix();
      p.filler.rowwise() +=
          (((1 - p.mask.array()) * v.array()).colwise().sum() / p.dropped.array().max(tiny))
              .matrix();
    } else if (kind == fill_kind::low_rank) {
      p.codes.resize(v.rows(), kv_heads * rank);
      const matrix kept = p.mask.array() * v.array();
      for (index_t h = 0; h < kv_heads; ++h) {
        code(p.codes, h).noalias() = head(kept, h) * factor(c.encode, h).transpose();
        head(p.filler, h).noalias() = code(p.codes, h) * factor(c.decode, h);
      }
    }
    stored = p.mask.array() * v.array() + (1 - p.mask.array()) * p.filler.array();
    return p;
  }

  /// Adds to dv and to the codec's gradient, and writes dmask [n, kv_heads * S].
  void backward(const matrix& v, const codec<const T>& c, const pass& p, const matrix& dstored,
                matrix& dv, matrix& dmask, const codec<T>& gradient) const {
    const matrix drop = 1 - p.mask.array();
    const matrix dfiller = drop.array() * dstored.array();
    matrix dkept = dstored;
    matrix dchannel = -(dstored.array() * p.filler.array()).matrix();
    if (kind == fill_kind::mean) {
      const auto dmean = (dfiller.colwise().sum().array() / p.dropped.array().max(tiny)).eval();
      dv.array() += drop.array().rowwise() * dmean;
      dchannel.array() -= (v - p.filler).array().rowwise() * dmean;
    } else if (kind == fill_kind::low_rank) {
      const matrix kept = p.mask.array() * v.array();
      for (index_t h = 0; h < kv_heads; ++h) {
        const matrix dcode = head(dfiller, h) * factor(c.decode, h).transpose();
        factor(gradient.decode, h).noalias() += code(p.codes, h).transpose() * head(dfiller, h);
        factor(gradient.encode, h).noalias() += dcode.transpose() * head(kept, h);
        head(dkept, h).noalias() += dcode * factor(c.encode, h);
      }
    }
    dv.array() += p.mask.array() * dkept.array();
    dchannel.array() += v.array() * dkept.array();
    dmask.resize(v.rows(), v.cols() / width);
    for (index_t g = 0; g < dmask.cols(); ++g)
      dmask.col(g) = dchannel.middleCols(g * width, width).rowwise().sum();
  }

 private:
  static constexpr T tiny = static_cast<T>(1e-30);

  template <class M>
  auto head(M& m, index_t h) const {
    return m.middleCols(h * head_dim, head_dim);
  }
  template <class M>
  auto code(M& m, index_t h) const {
    return m.middleCols(h * rank, rank);
  }
  template <class U>
  auto factor(const view<U, 3>& f, index_t h) const {
    return as_matrix(view<U, 2>(f.data + h * f.stride[0], rank, head_dim));
  }
};

}  // namespace rota::cpu
