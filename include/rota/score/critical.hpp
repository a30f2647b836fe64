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
  static void describe(const params& p, fingerprint& f) requires described_policy<Base> {
    f.add("critical").add(p.keep).add(p.first_share).add(p.epsilon);
    Base::describe(p.base, f);
  }
};

}  // namespace rota
