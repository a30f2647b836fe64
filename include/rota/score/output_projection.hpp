#pragma once

#include <cmath>

#include <rota/policy/concepts.hpp>

// What the model makes of a value: the output projection W_O, whole or as what is needed of it to
// measure slices.

namespace rota {

/// Context part: W_O of the layer. A row-major matrix [hidden, q_heads * d_v] is such a view.
struct output_projection {
  view<const float, 3> weights;  ///< [hidden, q_heads, d_v]
};

/// Context part: the Gram matrices of W_O's slices, averaged over the G query heads of a kv head,
///   gram_{h, s} = mean over query heads a of W_{a, s}' W_{a, s},
/// so that v' gram v is the mean squared norm of what slice v adds to the hidden state.
struct output_gram {
  view<const float, 4> gram;  ///< [kv_heads, S, width, width]
};

template <class F>
void for_each_range(const output_projection& part, F&& f) {
  f(range_of(part.weights));
}
template <class F>
void for_each_range(const output_gram& part, F&& f) {
  f(range_of(part.gram));
}

inline status check_heads(const output_projection& part, index_t kv_heads) {
  if (part.weights.extent[1] % kv_heads != 0) return {errc::heads_not_divisible, "weights"};
  return {};
}
inline status check_heads(const output_gram& part, index_t kv_heads) {
  if (part.gram.extent[0] != kv_heads) return {errc::bad_shape, "gram"};
  return {};
}

inline void slice_heads(const output_projection& all, index_t h, index_t kv_heads,
                        output_projection& one) {
  one = all;
  const index_t group = all.weights.extent[1] / kv_heads;
  one.weights.extent[1] = group;
  if (all.weights.data != nullptr)
    one.weights.data = &all.weights.data[h * group * all.weights.stride[1]];
}
inline void slice_heads(const output_gram& all, index_t h, index_t, output_gram& one) {
  one = all;
  one.gram.extent[0] = 1;
  if (all.gram.data != nullptr) one.gram.data = &all.gram.data[h * all.gram.stride[0]];
}

/// Checks the Gram matrices of a context whose values have `groups` slices of `width` numbers.
template <class Context>
status check_gram(const Context& c, index_t groups, index_t width) {
  if (status s = check_view(c.gram, "gram"); !s) return s;
  if (c.gram.extent[0] != c.kv_heads() || c.gram.extent[1] != groups || c.gram.extent[2] != width ||
      c.gram.extent[3] != width)
    return {errc::bad_shape, "gram"};
  // A matrix is read as one run of numbers.
  if (c.gram.stride[2] != width) return {errc::bad_stride, "gram"};
  return {};
}

/// Makes the Gram matrices of a layer's W_O, once when a model is loaded: out [kv_heads, S, width,
/// width], S * width = d_v. Sums in double. Errors: bad_shape, null_view, bad_stride,
/// heads_not_divisible, overlapping_memory.
inline status make_output_gram(const view<const float, 3>& weights, const view<float, 4>& out) {
  if (status s = check_view(weights, "weights"); !s) return s;
  if (status s = check_output(out, "out"); !s) return s;
  const index_t q_heads = weights.extent[1], d = weights.extent[2];
  const index_t heads = out.extent[0], groups = out.extent[1], width = out.extent[2];
  if (heads < 1 || width < 1 || out.extent[3] != width || groups * width != d)
    return {errc::bad_shape, "out"};
  if (q_heads < 1 || q_heads % heads != 0) return {errc::heads_not_divisible, "weights"};
  if (overlaps(range_of(weights), range_of(out))) return {errc::overlapping_memory, "out"};
  const index_t group = q_heads / heads;
  for (index_t h = 0; h < heads; ++h)
    for (index_t s = 0; s < groups; ++s)
      for (index_t i = 0; i < width; ++i)
        for (index_t j = 0; j <= i; ++j) {
          double sum = 0;
          for (index_t a = h * group; a < (h + 1) * group; ++a)
            for (index_t r = 0; r < weights.extent[0]; ++r) {
              const float* const row = weights.row(r, a) + s * width;
              sum += double{row[i]} * double{row[j]};
            }
          const auto mean = static_cast<float>(sum / static_cast<double>(group));
          out(h, s, i, j) = mean;
          out(h, s, j, i) = mean;
        }
  return {};
}

/// sqrt(v' gram v): the root mean square, over the query heads, of |W_O slice|. gram [width,
/// width].
ROTA_HD inline float projected_norm(const float* v, const float* gram, int width) {
  float sum = 0;
  for (int i = 0; i < width; ++i) {
    float row = 0;
    for (int j = 0; j < width; ++j) row += gram[i * width + j] * v[j];
    sum += v[i] * row;
  }
  // Rounding may take a norm of nearly 0 below it; NaN goes on.
  return sum < 0 ? 0.0f : std::sqrt(sum);
}

}  // namespace rota
