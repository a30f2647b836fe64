#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <rota/cpu/train/matrix.hpp>

namespace rota::cpu {

/// Causal attention of one sequence whose first tokens are read from a store by those that follow:
/// a prefix token attends to the prefix as it is; a later one to `stored` instead of the prefix's
/// values, and to the later values as they are. Forth and back. Allocates.
template <class T>
class train_attention {
 public:
  using matrix = train_matrix<T>;

  index_t q_heads = 0, kv_heads = 0, head_dim = 0;
  index_t prefix = 0;          ///< tokens that later ones read from the store
  index_t sliding_window = 0;  ///< keys that a query sees, itself included; 0: all
  double scale = 0;            ///< of the logits; 0: 1 / sqrt(head_dim)

  /// Of one sequence of n tokens.
  struct inputs {
    const matrix& q;       ///< [n, q_heads * d]
    const matrix& k;       ///< [n, kv_heads * d]
    const matrix& v;       ///< [n, kv_heads * d]
    const matrix& stored;  ///< [prefix, kv_heads * d]; not read when nothing follows the prefix
  };

  /// Softmax weights: by query head, block after block of queries.
  using pass = std::vector<matrix>;

  /// Writes out [n, q_heads * d].
  pass forward(const inputs& x, matrix& out) const {
    pass weights;
    out.setZero(x.q.rows(), x.q.cols());
    for_blocks(x.q.rows(), [&](index_t head, const span& b) {
      matrix p = logit_scale() * rows(x.q, b, head) * keys(x.k, b, head).transpose();
      softmax(p, b);
      auto result = rows(out, b, head);
      for_parts(x, b, [&](const matrix& values, index_t first, index_t last) {
        result.noalias() +=
            p.middleCols(first - b.seen, last - first) * part(values, head, first, last);
      });
      weights.push_back(std::move(p));
    });
    return weights;
  }

  /// Derivatives by the inputs: all are added to.
  struct slopes {
    matrix &q, &k, &v, &stored;
  };

  void backward(const inputs& x, const pass& weights, const matrix& dout, slopes d) const {
    std::size_t at = 0;
    for_blocks(x.q.rows(), [&](index_t head, const span& b) {
      const matrix& p = weights[at++];
      const auto dresult = rows(dout, b, head);
      matrix dp(p.rows(), p.cols());
      for_parts(x, b, [&](const matrix& values, index_t first, index_t last) {
        dp.middleCols(first - b.seen, last - first).noalias() =
            dresult * part(values, head, first, last).transpose();
        matrix& dvalues = &values == &x.v ? d.v : d.stored;
        part(dvalues, head, first, last).noalias() +=
            p.middleCols(first - b.seen, last - first).transpose() * dresult;
      });
      const auto mean = (dp.array() * p.array()).rowwise().sum().eval();
      const matrix ds = logit_scale() * (p.array() * (dp.array().colwise() - mean)).matrix();
      rows(d.q, b, head).noalias() += ds * keys(x.k, b, head);
      keys(d.k, b, head).noalias() += ds.transpose() * rows(x.q, b, head);
    });
  }

 private:
  /// Queries [first, last), which see keys from `seen` on at most.
  struct span {
    index_t first, last, seen;
  };

  T logit_scale() const {
    return static_cast<T>(scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(head_dim)));
  }

  /// No block of queries lies on both sides of the prefix's end.
  template <class F>
  void for_blocks(index_t n, F&& f) const {
    constexpr index_t most = 128;
    for (index_t head = 0; head < q_heads; ++head)
      for (index_t first = 0, last; first < n; first = last) {
        last = std::min(first + most, first < prefix ? std::min(prefix, n) : n);
        const index_t seen =
            sliding_window == 0 ? 0 : std::max<index_t>(0, first - sliding_window + 1);
        f(head, span{first, last, seen});
      }
  }

  /// The runs of keys that a block sees, with the values that stand for them.
  template <class F>
  void for_parts(const inputs& x, const span& b, F&& f) const {
    if (b.first < prefix) return f(x.v, b.seen, b.last);
    if (b.seen < prefix) f(x.stored, b.seen, prefix);
    f(x.v, std::max(prefix, b.seen), b.last);
  }

  void softmax(matrix& p, const span& b) const {
    for (index_t i = 0; i < p.rows(); ++i) {
      const index_t query = b.first + i, end = query + 1 - b.seen;
      const index_t begin =
          sliding_window == 0 ? 0 : std::max<index_t>(0, query + 1 - sliding_window - b.seen);
      auto row = p.row(i).segment(begin, end - begin);
      row = (row.array() - row.maxCoeff()).exp().matrix();
      row /= row.sum();
      p.row(i).head(begin).setZero();
      p.row(i).tail(p.cols() - end).setZero();
    }
  }

  template <class M>
  auto rows(M& m, const span& b, index_t head) const {
    return m.block(b.first, head * head_dim, b.last - b.first, head_dim);
  }
  template <class M>
  auto keys(M& m, const span& b, index_t head) const {
    return part(m, head, b.seen, b.last);
  }
  /// Rows of the kv head that query head `head` reads.
  template <class M>
  auto part(M& m, index_t head, index_t first, index_t last) const {
    return m.block(first, head / (q_heads / kv_heads) * head_dim, last - first, head_dim);
  }
};

}  // namespace rota::cpu
