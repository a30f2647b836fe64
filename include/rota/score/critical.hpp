#pragma once

#include <rota/score/output_projection.hpp>

namespace rota {

namespace detail {

/// What a scorer needs, and W_O.
template <class Needs>
struct with_output_projection;
template <class... Parts>
struct with_output_projection<needs<Parts...>> {
  using type = needs<Parts..., output_projection>;
};

}  // namespace detail

/// Any token scorer weighed by what the model makes of the value (CriticalKV: Feng et al. 2025,
/// arXiv 2502.03805). With s the base's score of a token:
///   first stage   of the `keep` tokens that a head will keep, the best max(1, floor(share * keep))
///                 by s get the largest finite score, all the same
///   second stage  the others get (s + epsilon) * mean over the G query heads of |W_O v|_1
/// A scorer does not know the budget, so `keep` says how many tokens a head will keep; 0: no first
/// stage. Ties go to the smaller index. The base should not weigh by values itself
/// (expected_attention without use_value_norm).
template <class Base>
struct critical {
  using policy_kind = token_scorer_tag;
  using form = whole_head;
  using base = Base;
  using needs =
      typename detail::with_output_projection<typename detail::needs_of<Base>::type>::type;
  struct params {
    typename Base::params base;
    index_t keep = 0;
    double first_share = 0.5;  ///< in [0, 1]; 0: no first stage
    float epsilon = 1e-4f;     ///< finite, not negative
  };
  /// Tokens that the first stage takes of a head that has as many.
  static index_t first_stage(const params& p) {
    if (p.keep <= 0 || !(p.first_share > 0)) return 0;
    const auto share = static_cast<index_t>(p.first_share * static_cast<double>(p.keep));
    return share > 1 ? share : 1;
  }
  static void describe(const params& p, fingerprint& f) requires described_policy<Base> {
    f.add("critical").add(p.keep).add(p.first_share).add(p.epsilon);
    Base::describe(p.base, f);
  }
};

/// Checks the parameters of critical<Base>, its base's aside, and the W_O of a context.
template <class Base, class Context>
status check_critical(const typename critical<Base>::params& p, const Context& c) {
  if (p.keep < 0) return {errc::bad_parameter, "keep"};
  if (!(p.first_share >= 0 && p.first_share <= 1)) return {errc::bad_parameter, "first_share"};
  if (!(p.epsilon >= 0 && p.epsilon <= 1e30f)) return {errc::bad_parameter, "epsilon"};
  if (status s = check_view(c.weights, "weights"); !s) return s;
  if (c.weights.extent[2] != c.d_v() || c.weights.extent[1] < 1)
    return {errc::bad_shape, "weights"};
  if (c.weights.extent[1] % c.kv_heads() != 0) return {errc::heads_not_divisible, "weights"};
  return {};
}

}  // namespace rota
