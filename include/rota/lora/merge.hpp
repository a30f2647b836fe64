#pragma once

#include <algorithm>

#include <rota/core/view.hpp>
#include <rota/lora/adapter.hpp>

namespace rota {

namespace detail {

/// Whether an adapter does the same for every token, as only that can become part of W: a plain
/// one, or all N of N subspaces under a router of zeros, whose gates are uniform.
template <lora_form Form, element E>
bool is_uniform(const lora_weights<E>& a) {
  if constexpr (!Form::routed) {
    return true;
  } else {
    if (Form::active != Form::subspaces) return false;
    for (index_t i = 0; i < a.router.extent[0]; ++i) {
      if (!a.router_bias.empty() && a.router_bias(i) != 0) return false;
      for (index_t j = 0; j < a.router.extent[1]; ++j)
        if (static_cast<float>(a.router(i, j)) != 0) return false;
    }
    return true;
  }
}

template <element E>
void add_product(const lora_weights<E>& a, double scale, view<float, 2> w) {
  constexpr index_t block = 64;  // columns at a time
  for (index_t o = 0; o < w.extent[0]; ++o)
    for (index_t first = 0; first < w.extent[1]; first += block) {
      double sum[block] = {};
      const index_t count = std::min(block, w.extent[1] - first);
      for (index_t r = 0; r < a.rank(); ++r) {
        const double up = scale * static_cast<double>(static_cast<float>(a.up(r, o)));
        for (index_t i = 0; i < count; ++i)
          sum[i] += up * static_cast<double>(static_cast<float>(a.down(r, first + i)));
      }
      for (index_t i = 0; i < count; ++i)
        w(o, first + i) = static_cast<float>(static_cast<double>(w(o, first + i)) + sum[i]);
    }
}

template <lora_form Form, element E>
status merge(const lora_weights<E>& a, double sign, view<float, 2> w) {
  if (status s = check_lora<Form>(a); !s) return s;
  if (status s = check_output(w, "w"); !s) return s;
  if (w.extent[0] != a.out() || w.extent[1] != a.in()) return {errc::bad_shape, "w"};
  const byte_range written = range_of(w);
  for (const byte_range& read :
       {range_of(a.down), range_of(a.up), range_of(a.router), range_of(a.router_bias)})
    if (overlaps(written, read)) return {errc::overlapping_memory, "w"};
  if (!is_uniform<Form>(a)) return {errc::bad_parameter, "router"};
  add_product(a, sign * static_cast<double>(lora_scale<Form>(a)), w);
  return {};
}

}  // namespace detail

/// Makes an adapter part of dense weights w [out, in]: w += scale B A, summed in double. Then the
/// projection alone gives what projection and adapter gave, to rounding.
///
/// Errors leave w untouched: those of check_lora(); null_view, bad_stride and bad_shape of "w";
/// overlapping_memory; bad_parameter ("router") where the adapter's part depends on the token: a
/// routed form merges only when all its subspaces are active under a router of zeros.
template <lora_form Form, element E>
[[nodiscard]] status merge_lora(const lora_weights<E>& a, view<float, 2> w) {
  return detail::merge<Form>(a, 1, w);
}

/// Takes it out again: w -= scale B A. Each of the two rounds w once, so w is what it was before
/// merge_lora() to within two roundings of its elements.
template <lora_form Form, element E>
[[nodiscard]] status unmerge_lora(const lora_weights<E>& a, view<float, 2> w) {
  return detail::merge<Form>(a, -1, w);
}

}  // namespace rota
