#pragma once

#include <limits>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Attention expected from future queries, taken as normal (Devoto et al. 2025, arXiv
/// 2510.00636). With mu, Sigma the mean and covariance of the pre-RoPE queries of a query head
/// and Rbar the mean RoPE matrix over the next `future_positions` positions:
///   z_i   = k_i' Rbar mu / sqrt(d) + k_i' (Rbar Sigma Rbar') k_i / (2 d)
///   s_i   = mean over the query heads of the kv head of softmax_i(z_i), non-sink tokens only
///   score = (s_i + epsilon) * |v_i|
/// Without value norm the score is s_i alone and epsilon does nothing. Rbar is not orthogonal.
/// The next position is the one after the context's last. Under a sliding window, tokens that no
/// query from there on sees are outside the softmax and score 0. The first `sinks` tokens are
/// outside the softmax and get a finite score just above all others of their head (the authors'
/// code gives them the maximum over all heads plus one). Whoever gathers the moments should leave
/// out the first queries too (the authors skip 4): see query_statistics.
struct expected_attention {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using needs = rota::needs<query_moments, rope_frequencies>;
  struct params {
    index_t future_positions = 512;  ///< at least 1
    index_t sinks = 4;
    float epsilon = 0;  ///< finite, not negative
    bool use_covariance = true;
    bool use_value_norm = true;
  };
  static void describe(const params& p, fingerprint& f) {
    f.add("expected_attention").add(p.future_positions).add(p.sinks).add(p.epsilon);
    f.add(p.use_covariance).add(p.use_value_norm);
  }
};

/// Checks the parameters and the parts of a context that they are about.
template <class Context>
status check_expected_attention(const expected_attention::params& p, const Context& c) {
  if (p.future_positions < 1) return {errc::bad_parameter, "future_positions"};
  if (p.sinks < 0) return {errc::bad_parameter, "sinks"};
  if (!(p.epsilon >= 0 && p.epsilon <= std::numeric_limits<float>::max()))
    return {errc::bad_parameter, "epsilon"};
  const index_t d = c.d_k();
  if (status s = check_view(c.mean, "mean"); !s) return s;
  if (c.mean.extent[0] < 1 || c.mean.extent[1] != d) return {errc::bad_shape, "mean"};
  if (c.mean.extent[0] % c.kv_heads() != 0) return {errc::heads_not_divisible, "mean"};
  if (p.use_covariance) {
    if (status s = check_view(c.covariance, "covariance"); !s) return s;
    if (c.covariance.extent[0] != c.mean.extent[0] || c.covariance.extent[1] != d ||
        c.covariance.extent[2] != d)
      return {errc::bad_shape, "covariance"};
  }
  if (status s = check_view(c.inverse_frequencies, "inverse_frequencies"); !s) return s;
  if (c.rotary_channels < 0 || c.rotary_channels > d) return {errc::bad_count, "rotary_channels"};
  const index_t rotated = c.rotary_channels > 0 ? c.rotary_channels : d;
  if (rotated % 2 != 0 || c.inverse_frequencies.extent[0] != rotated / 2)
    return {errc::bad_shape, "inverse_frequencies"};
  if (c.pairing != rope_pairing::halves && c.pairing != rope_pairing::interleaved)
    return {errc::bad_parameter, "pairing"};
  if (!(c.scale > 0 && c.scale <= std::numeric_limits<float>::max()))
    return {errc::bad_parameter, "scale"};
  return {};
}

}  // namespace rota
