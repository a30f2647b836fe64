#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include <rota/attend/problem.hpp>
#include <rota/fill/low_rank.hpp>
#include <rota/policy/context.hpp>
#include <rota/select/selection.hpp>

namespace rota_test {

/// What a sequence is made of before packing: the invariant's right-hand side. It shares no code
/// with stores: plain rows, a kept set, a tail.
template <rota::element E>
struct masked_sequence {
  const rota::context<E>* context = nullptr;
  const rota::selection* kept = nullptr;
  const rota::context<E>* tail = nullptr;  ///< appended tokens
  rota::index_t width = 0;
  bool mean_fill = false;
  const rota::fill_codec* codec = nullptr;  ///< of a low-rank fill
  rota::position_t next_position = 0;       ///< after the tail

  /// Mean of the dropped slices of head h, per channel, in double.
  std::vector<double> means(rota::index_t h) const {
    const rota::index_t d_v = context->d_v();
    std::vector<double> sum(static_cast<std::size_t>(d_v)), count(sum.size());
    for (rota::index_t i = 0; i < kept->counts(h); ++i)
      for (rota::index_t c = 0; c < d_v; ++c) {
        if ((kept->masks(h, i) >> (c / width)) & 1) continue;
        const auto at = static_cast<std::size_t>(c);
        sum[at] +=
            static_cast<double>(static_cast<float>(context->values(kept->indices(h, i), h, c)));
        count[at] += 1;
      }
    for (std::size_t c = 0; c < sum.size(); ++c) sum[c] = count[c] > 0 ? sum[c] / count[c] : 0;
    return sum;
  }
};

/// B A (M v) of a token of head h, per channel, in double, but for code and B, which are rounded to
/// the element as a store rounds them.
template <rota::element E>
std::vector<double> rebuilt_values(const masked_sequence<E>& seq, rota::index_t h, rota::index_t i,
                                   unsigned mask) {
  const rota::fill_codec& codec = *seq.codec;
  const auto rounded = [](double x) {
    return static_cast<double>(static_cast<float>(static_cast<E>(static_cast<float>(x))));
  };
  std::vector<double> out(static_cast<std::size_t>(seq.context->d_v()));
  for (rota::index_t r = 0; r < codec.encode.extent[1]; ++r) {
    double code = 0;
    for (rota::index_t c = 0; c < seq.context->d_v(); ++c)
      if ((mask >> (c / seq.width)) & 1)
        code += static_cast<double>(codec.encode(h, r, c)) *
                static_cast<double>(static_cast<float>(seq.context->values(i, h, c)));
    for (std::size_t c = 0; c < out.size(); ++c)
      out[c] += rounded(code) *
                rounded(static_cast<double>(codec.decode(h, r, static_cast<rota::index_t>(c))));
  }
  return out;
}

/// One query row in double: softmax over the kept tokens and the tail, values with dropped groups
/// replaced. `out` [d_v]; returns the log-sum-exp.
template <rota::element E>
double attend_masked_dense(const masked_sequence<E>& seq, rota::index_t h, const float* q,
                           rota::position_t position, const rota::attend_params& p,
                           const std::vector<double>& means, std::vector<double>& out) {
  using rota::index_t;
  const auto& ctx = *seq.context;
  const index_t d_k = ctx.d_k(), d_v = ctx.d_v();
  const double scale = p.scale > 0 ? p.scale : 1 / std::sqrt(static_cast<double>(d_k));
  std::vector<double> logits;
  std::vector<std::vector<double>> rows;
  const auto visit = [&](const rota::context<E>& from, index_t i, rota::position_t at,
                         unsigned mask) {
    if (p.causal && at > position) return;
    if (p.sliding_window > 0 && position - at >= p.sliding_window) return;
    double dot = 0;
    for (index_t c = 0; c < d_k; ++c)
      dot += double{q[c]} * static_cast<double>(static_cast<float>(from.keys(i, h, c)));
    std::vector<double> row(static_cast<std::size_t>(d_v));
    const bool fills = seq.codec != nullptr && &from == seq.context;
    const std::vector<double> rebuilt =
        fills ? rebuilt_values(seq, h, i, mask) : std::vector<double>();
    for (index_t c = 0; c < d_v; ++c) {
      const bool stored = (mask >> (c / seq.width)) & 1;
      const auto at_c = static_cast<std::size_t>(c);
      if (stored)
        row[at_c] = static_cast<double>(static_cast<float>(from.values(i, h, c)));
      else if (seq.mean_fill)
        row[at_c] = means[at_c];
      else if (fills)
        row[at_c] = rebuilt[at_c];
    }
    logits.push_back(dot * scale);
    rows.push_back(std::move(row));
  };
  for (index_t i = 0; i < seq.kept->counts(h); ++i) {
    const index_t at = seq.kept->indices(h, i);
    visit(ctx, at, ctx.position(at), seq.kept->masks(h, i));
  }
  const index_t tail = seq.tail->tokens();
  for (index_t i = 0; i < tail; ++i)
    visit(*seq.tail, i, static_cast<rota::position_t>(seq.next_position - tail + i), 0xffffu);

  out.assign(static_cast<std::size_t>(d_v), 0.0);
  if (logits.empty()) return -std::numeric_limits<double>::infinity();
  double top = logits[0];
  for (double l : logits) top = std::max(top, l);
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double w = std::exp(logits[i] - top);
    sum += w;
    for (std::size_t c = 0; c < out.size(); ++c) out[c] += w * rows[i][c];
  }
  for (double& x : out) x /= sum;
  return top + std::log(sum);
}

}  // namespace rota_test
