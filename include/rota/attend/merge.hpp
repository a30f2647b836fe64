#pragma once

#include <type_traits>

#include <rota/core/online_softmax.hpp>
#include <rota/core/types.hpp>

namespace rota {

/// Output and log-sum-exp of some queries over a part of their context. T: the outputs' element,
/// const for parts that are read.
template <class T>
struct partial_attention {
  view<T, 3> out;  ///< [n, q_heads, d_v]
  /// [n, q_heads], natural log; -inf where nothing was seen
  view<std::conditional_t<std::is_const_v<T>, const float, float>, 2> lse;
};

namespace detail {

template <class T, class U>
bool same_shape(const partial_attention<T>& x, const partial_attention<U>& y) {
  return x.out.extent == y.out.extent && x.lse.extent == y.lse.extent;
}

/// Overlap is allowed only where merging in place is: the very same view.
template <class A, class B, int Rank>
bool same_or_apart(const view<A, Rank>& a, const view<B, Rank>& b) {
  const bool same = std::is_same_v<std::remove_const_t<A>, std::remove_const_t<B>> &&
                    static_cast<const void*>(a.data) == static_cast<const void*>(b.data) &&
                    a.stride == b.stride;
  return same || !overlaps(range_of(a), range_of(b));
}

/// The errors of merge().
template <element In, element Out>
status check_merge(const partial_attention<const In>& a, const partial_attention<const In>& b,
                   const partial_attention<Out>& result) {
  if (status s = check_view(a.out, "a.out"); !s) return s;
  if (status s = check_view(a.lse, "a.lse"); !s) return s;
  if (status s = check_view(b.out, "b.out"); !s) return s;
  if (status s = check_view(b.lse, "b.lse"); !s) return s;
  if (status s = check_output(result.out, "result.out"); !s) return s;
  if (status s = check_output(result.lse, "result.lse"); !s) return s;
  if (a.lse.extent[0] != a.out.extent[0] || a.lse.extent[1] != a.out.extent[1])
    return {errc::bad_shape, "a.lse"};
  if (!same_shape(a, b)) return {errc::bad_shape, "b"};
  if (!same_shape(a, result)) return {errc::bad_shape, "result"};
  if (!same_or_apart(a.out, result.out) || !same_or_apart(b.out, result.out) ||
      overlaps(range_of(result.out), range_of(a.lse)) ||
      overlaps(range_of(result.out), range_of(b.lse)))
    return {errc::overlapping_memory, "result.out"};
  if (!same_or_apart(a.lse, result.lse) || !same_or_apart(b.lse, result.lse) ||
      overlaps(range_of(result.lse), range_of(a.out)) ||
      overlaps(range_of(result.lse), range_of(b.out)) ||
      overlaps(range_of(result.lse), range_of(result.out)))
    return {errc::overlapping_memory, "result.lse"};
  return {};
}

}  // namespace detail

/// Attention over the union of two disjoint parts of a context (split stores, prefix and suffix,
/// context parallel): out = wa * a.out + wb * b.out with the weights of merge_log_sum_exp(). A part
/// that saw nothing has no influence, whatever its outputs hold. `result` may be `a` or `b` itself.
/// Mean fills merge exactly where both parts hold the same means, or one drops nothing. Parts of
/// halves have been rounded once before: keep parts in float where it matters, and let only the
/// result be of halves. Errors: null_view, bad_shape, bad_stride; overlapping_memory where result
/// overlaps a or b without being it. Nothing is written on error.
template <element In = float, element Out = float>
status merge(const partial_attention<const In>& a, const partial_attention<const In>& b,
             const partial_attention<Out>& result) {
  if (status s = detail::check_merge(a, b, result); !s) return s;
  const auto share = [](float weight, float lse, In x) {
    return lse == -std::numeric_limits<float>::infinity() ? 0.0f : weight * static_cast<float>(x);
  };
  for (index_t i = 0; i < a.out.extent[0]; ++i)
    for (index_t head = 0; head < a.out.extent[1]; ++head) {
      const float la = a.lse(i, head), lb = b.lse(i, head);
      const merge_weights<float> w = merge_log_sum_exp(la, lb);
      for (index_t c = 0; c < a.out.extent[2]; ++c)
        result.out(i, head, c) =
            Out(share(w.a, la, a.out(i, head, c)) + share(w.b, lb, b.out(i, head, c)));
      result.lse(i, head) = w.lse;
    }
  return {};
}

}  // namespace rota
