#pragma once

#include <array>

#include <rota/policy/concepts.hpp>

namespace rota {

/// Weights of a low-rank reconstruction, learned (docs/lora.md) or the leading directions of the
/// values: a code A (M v) of what a token keeps, and B of the code where a group is dropped.
struct fill_codec {
  view<const float, 3> encode;  ///< A [kv_heads, r, d_v]
  view<const float, 3> decode;  ///< B transposed [kv_heads, r, d_v]
};

template <class F>
void for_each_range(const fill_codec& part, F&& f) {
  f(range_of(part.encode));
  f(range_of(part.decode));
}

/// Replaces a dropped group by a linear function, of rank r, of the groups that the token keeps.
/// With M the projection onto the kept groups: vhat = M v + (I - M) B A M v.
///
/// With a code a = A M v this is B a + M (v - B a). So a token that drops anything is stored as its
/// code and the *residuals* of its kept groups; attention sums codes and residuals with the same
/// weights, and adds B times the sum of the codes once, at the end. No group needs sums of its own
/// (docs/stores.md). The store carries B, rounded to its element, and counts it.
template <int Rank>
struct low_rank_fill {
  static_assert(Rank >= 1 && Rank <= 64, "rota: low_rank_fill<Rank> takes a rank of 1 to 64");
  using policy_kind = fill_tag;
  using needs = rota::needs<fill_codec>;
  struct params {};
  /// The rank alone: weights are the context's, so whoever saves a store adds what tells them
  /// apart.
  static void describe(const params&, fingerprint& f) { f.add("low_rank_fill").add(Rank); }
  static constexpr std::uint8_t code = 2;
  static constexpr bool has_means = false;
  static constexpr index_t code_rank = Rank;
};

/// A head of a re-routed store: scorers do not read a codec, and it is packed for all heads at
/// once.
inline void slice_heads(const fill_codec& all, index_t, index_t, fill_codec& one) {
  one = all;
}

/// Checks a codec for heads of d_v values.
inline status check_codec(const fill_codec& c, index_t kv_heads, index_t rank, index_t d_v) {
  const std::array<index_t, 3> shape = {kv_heads, rank, d_v};
  if (status s = check_view(c.encode, "encode"); !s) return s;
  if (c.encode.extent != shape) return {errc::bad_shape, "encode"};
  if (status s = check_view(c.decode, "decode"); !s) return s;
  if (c.decode.extent != shape) return {errc::bad_shape, "decode"};
  return {};
}

}  // namespace rota
