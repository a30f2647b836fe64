#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include <rota/attend/problem.hpp>

// The slow double-precision oracle: attention written down token by token, over any store, sharing
// nothing with the operators that it judges.

namespace rota::reference {

/// What stands in for the dropped groups of a head: means [d_v], or a decoder [rank, d_v] of the
/// tokens' codes, or nothing.
template <codec C>
struct stand_ins {
  const float* means = nullptr;
  const code_type_of<C>* decoder = nullptr;
  index_t rank = 0;
};

template <kv_store Store>
stand_ins<typename Store::element_type> stand_ins_of(const Store& store, index_t head) {
  if constexpr (requires { store.decoder(head); })
    return {store.means(head), store.decoder(head), store.code_rank()};
  else
    return {store.means(head), nullptr, 0};
}

/// What a stored number stands for; `scale`: which of the scales is its own, where it has one.
template <element E>
double value_of(E x, const scale_type* = nullptr, index_t = 0) {
  return static_cast<double>(static_cast<float>(x));
}
inline double value_of(int8 x, const scale_type* scales, index_t scale) {
  return static_cast<double>(x.bits) * value_of(scales[scale]);
}

/// Value row of token j of a block as doubles: stored groups as they are (their residuals on top of
/// the rebuilt row, where there are codes), dropped ones as the fill has them. row: [d_v]. Returns
/// through `mask` the groups that are stored.
template <codec C>
void expand_token(const block<C>& b, index_t j, index_t d_v, index_t width,
                  const stand_ins<C>& fill, double* row, group_mask* mask) {
  const index_t groups = d_v / width;
  if (b.order == value_order::whole) {
    for (index_t c = 0; c < d_v; ++c)
      row[c] = value_of(b.values[j * b.value_stride + c], b.value_scales,
                        j * b.value_scale_stride + c / width);
    *mask = full_mask(static_cast<int>(groups));
    return;
  }
  for (index_t c = 0; c < d_v; ++c) {
    row[c] = fill.means != nullptr ? static_cast<double>(fill.means[c]) : 0;
    for (index_t r = 0; r < fill.rank; ++r)
      row[c] += value_of(b.codes[j * fill.rank + r]) * value_of(fill.decoder[r * d_v + c]);
  }
  *mask = 0;
  const auto put = [&](index_t group, index_t slice) {
    *mask = static_cast<group_mask>(*mask | (1u << group));
    for (index_t c = 0; c < width; ++c) {
      double& at = row[group * width + c];
      at = value_of(b.values[slice * width + c], b.value_scales, slice) + (fill.rank > 0 ? at : 0);
    }
  };
  if (b.order == value_order::token_major) {
    index_t slice = b.starts[j];
    for (index_t g = 0; g < groups; ++g)
      if ((b.masks[j] >> g) & 1) put(g, slice++);
    return;
  }
  for (index_t g = 0; g < groups; ++g)
    for (index_t slice = b.starts[g]; slice < b.starts[g + 1]; ++slice)
      if (b.members[slice] == j) put(g, slice);
}

/// Everything that one query head sees of a kv head: logits and expanded values.
struct seen_tokens {
  std::vector<double> logits;  ///< [n]
  std::vector<double> values;  ///< [n, d_v]
};

template <kv_store Store, element Io>
seen_tokens gather(const Store& store, index_t kv_head, const Io* q, double scale,
                   std::int64_t position, const attend_params& params) {
  seen_tokens seen;
  const index_t d_k = store.d_k();
  const index_t d_v = store.d_v();
  for (index_t i = 0; i < store.block_count(kv_head); ++i) {
    const auto b = store.block_at(kv_head, i);
    for (index_t j = 0; j < b.count; ++j) {
      const std::int64_t at = b.position(j);
      if (params.causal && at > position) continue;
      if (params.sliding_window > 0 && position - at >= params.sliding_window) continue;
      double dot = 0;
      for (index_t c = 0; c < d_k; ++c)
        dot += static_cast<double>(static_cast<float>(q[c])) *
               value_of(b.keys[j * b.key_stride + c], b.key_scales, j);
      seen.logits.push_back(dot * scale);
      seen.values.resize(seen.values.size() + static_cast<std::size_t>(d_v));
      group_mask mask;
      expand_token(b, j, d_v, store.group_width(), stand_ins_of(store, kv_head),
                   seen.values.data() + seen.values.size() - d_v, &mask);
    }
  }
  return seen;
}

/// out: [d_v]. Returns the log-sum-exp.
inline double softmax_sum(const seen_tokens& seen, index_t d_v, double* out) {
  const double minus_infinity = -std::numeric_limits<double>::infinity();
  double max = minus_infinity;
  for (double x : seen.logits) max = x > max ? x : max;
  const double base = max == minus_infinity ? 0 : max;
  double sum = 0;
  for (double x : seen.logits) sum += std::exp(x - base);
  for (index_t c = 0; c < d_v; ++c) out[c] = 0;
  if (sum == 0) return minus_infinity;
  for (std::size_t j = 0; j < seen.logits.size(); ++j) {
    const double p = std::exp(seen.logits[j] - base) / sum;
    const double* row = seen.values.data() + j * static_cast<std::size_t>(d_v);
    for (index_t c = 0; c < d_v; ++c) out[c] += p * row[c];
  }
  return base + std::log(sum);
}

/// The attention that cpu::attend and cuda::attend promise (attend/problem.hpp), in double.
/// out: [n, q_heads, d_v]; lse: [n, q_heads], may have a null pointer. item.out and item.lse are
/// not used. The item is taken to be valid.
template <kv_store Store, element Io>
void attend(const attend_item<Store, Io>& item, const attend_params& params, view<double, 3> out,
            view<double, 2> lse = {}) {
  const Store& store = *item.store;
  const index_t n = item.q.extent[0];
  const index_t q_heads = item.q.extent[1];
  const double scale = params.scale > 0 ? static_cast<double>(params.scale)
                                        : 1 / std::sqrt(static_cast<double>(store.d_k()));
  for (index_t i = 0; i < n; ++i)
    for (index_t head = 0; head < q_heads; ++head) {
      const index_t kv_head = head / (q_heads / store.kv_heads());
      const std::int64_t position = store.next_position() - n + i;
      const seen_tokens seen = gather(store, kv_head, item.q.row(i, head), scale, position, params);
      const double l = softmax_sum(seen, store.d_v(), out.row(i, head));
      if (lse.data != nullptr) lse(i, head) = l;
    }
}

}  // namespace rota::reference
