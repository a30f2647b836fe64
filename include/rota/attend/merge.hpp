#pragma once

#include <rota/core/online_softmax.hpp>
#include <rota/core/types.hpp>

namespace rota {

/// Output and log-sum-exp of some queries over a part of their context.
template <class T>
struct partial_attention {
  view<T, 3> out;  ///< [n, q_heads, d_v]
  view<T, 2> lse;  ///< [n, q_heads], natural log; -inf where nothing was seen
};

namespace detail {

template <class T, class U>
bool same_shape(const partial_attention<T>& x, const partial_attention<U>& y) {
  return x.out.extent == y.out.extent && x.lse.extent == y.lse.extent;
}

/// Overlap is allowed only where merging in place is: the very same view.
template <class A, class B, int Rank>
bool same_or_apart(const view<A, Rank>& a, const view<B, Rank>& b) {
  return (a.data == b.data && a.stride == b.stride) || !overlaps(range_of(a), range_of(b));
}

}  // namespace detail

/// Attention over the union of two disjoint parts of a context (split stores, prefix and suffix,
/// context parallel): out = wa * a.out + wb * b.out with the weights of merge_log_sum_exp().
/// `result` may be `a` or `b` itself. Mean fills merge exactly where both parts hold the same
/// means. Errors: null_view, bad_shape, bad_stride; overlapping_memory where result overlaps a or b
/// without being it. Nothing is written on error.
inline status merge(const partial_attention<const float>& a,
                    const partial_attention<const float>& b,
                    const partial_attention<float>& result) {
  if (status s = check_view(a.out, "a.out"); !s) return s;
  if (status s = check_view(a.lse, "a.lse"); !s) return s;
  if (status s = check_view(b.out, "b.out"); !s) return s;
  if (status s = check_view(b.lse, "b.lse"); !s) return s;
  if (status s = check_output(result.out, "result.out"); !s) return s;
  if (status s = check_output(result.lse, "result.lse"); !s) return s;
  if (a.lse.extent[0] != a.out.extent[0] || a.lse.extent[1] != a.out.extent[1])
    return {errc::bad_shape, "a.lse"};
  if (!detail::same_shape(a, b)) return {errc::bad_shape, "b"};
  if (!detail::same_shape(a, result)) return {errc::bad_shape, "result"};
  if (!detail::same_or_apart(a.out, result.out) || !detail::same_or_apart(b.out, result.out) ||
      overlaps(range_of(result.out), range_of(a.lse)) ||
      overlaps(range_of(result.out), range_of(b.lse)))
    return {errc::overlapping_memory, "result.out"};
  if (!detail::same_or_apart(a.lse, result.lse) || !detail::same_or_apart(b.lse, result.lse) ||
      overlaps(range_of(result.lse), range_of(a.out)) ||
      overlaps(range_of(result.lse), range_of(b.out)) ||
      overlaps(range_of(result.lse), range_of(result.out)))
    return {errc::overlapping_memory, "result.lse"};

  for (index_t i = 0; i < a.out.extent[0]; ++i)
    for (index_t head = 0; head < a.out.extent[1]; ++head) {
      const merge_weights<float> w = merge_log_sum_exp(a.lse(i, head), b.lse(i, head));
      for (index_t c = 0; c < a.out.extent[2]; ++c)
        result.out(i, head, c) = w.a * a.out(i, head, c) + w.b * b.out(i, head, c);
      result.lse(i, head) = w.lse;
    }
  return {};
}

}  // namespace rota
