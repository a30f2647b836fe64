#pragma once

#include <rota/attend/merge.hpp>
#include <rota/cuda/attend/io.cuh>
#include <rota/cuda/fault.cuh>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/ptx/warp.cuh>

namespace rota::cuda {

/// A partial_attention as the kernel reads it; strides in elements.
struct part_rows {
  const void* out = nullptr;
  index_t out_token = 0, out_head = 0;
  const float* lse = nullptr;
  index_t lse_token = 0;

  template <class T>
  static part_rows of(const partial_attention<T>& p) {
    return {p.out.data, p.out.stride[0], p.out.stride[1], p.lse.data, p.lse.stride[0]};
  }
  ROTA_DEVICE index_t out_at(index_t token, index_t head) const {
    return token * out_token + head * out_head;
  }
  ROTA_DEVICE index_t lse_at(index_t token, index_t head) const { return token * lse_token + head; }
};

/// A warp a row of outputs. Every element, and the log-sum-exp, is read by the lane that writes it,
/// so that the result may be one of the parts.
struct merge_parts_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 8;
  static constexpr int rows = threads / ptx::warp_threads;  ///< of a block

  struct arguments {
    part_rows a, b;
    io_element in_type;  ///< of both parts
    void* out;
    index_t out_token, out_head;
    float* lse;
    index_t lse_token;
    io_element out_type;
    index_t tokens, heads, columns;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t row = index_t{ptx::block_x()} * rows + ptx::warp_index();
    if (row >= a.tokens * a.heads) return;
    const index_t token = row / a.heads, head = row % a.heads;
    const int lane = static_cast<int>(ptx::lane_index());
    const auto lse_of = [&](const part_rows& p) {
      return ptx::shuffle(lane == 0 ? ptx::load(p.lse + p.lse_at(token, head)) : 0.0f, 0);
    };
    const float la = lse_of(a.a), lb = lse_of(a.b);
    const weights w = weights_of(la, lb);
    for (index_t first = lane; first < a.columns; first += step * ptx::warp_threads) {
      float x[step] = {}, y[step] = {};
      if (la != ptx::minus_infinity) load(a, a.a, a.a.out_at(token, head), first, x);
      if (lb != ptx::minus_infinity) load(a, a.b, a.b.out_at(token, head), first, y);
      with_io(a.out_type, [&](auto any) {
        auto* const to =
            static_cast<decltype(any)*>(a.out) + token * a.out_token + head * a.out_head;
        ROTA_UNROLL
        for (int k = 0; k < step; ++k) {
          const index_t column = first + k * ptx::warp_threads;
          if (column < a.columns) store_rounded(to + column, w.a * x[k] + w.b * y[k]);
        }
      });
    }
    if (lane == 0) ptx::store(a.lse + token * a.lse_token + head, w.lse);
  }

 private:
  /// Columns that a lane has on their way at a time.
  static constexpr int step = 4;

  struct weights {
    float a, b, lse;
  };

  /// As merge_log_sum_exp().
  ROTA_DEVICE static weights weights_of(float a, float b) {
    if (a == ptx::minus_infinity && b == ptx::minus_infinity) return {0, 0, ptx::minus_infinity};
    constexpr float log2_e = 1.4426950408889634f, ln_2 = 0.69314718055994531f;
    const float top = a > b ? a : b;
    const float ea = ptx::exp2((a - top) * log2_e), eb = ptx::exp2((b - top) * log2_e);
    return {ea / (ea + eb), eb / (ea + eb), top + ptx::log2(ea + eb) * ln_2};
  }

  ROTA_DEVICE static void load(const arguments& a, const part_rows& p, index_t at, index_t first,
                               float (&x)[step]) {
    with_io(a.in_type, [&](auto any) {
      const auto* const from = static_cast<const decltype(any)*>(p.out) + at;
      ROTA_UNROLL
      for (int k = 0; k < step; ++k) {
        const index_t column = first + k * ptx::warp_threads;
        if (column < a.columns) x[k] = static_cast<float>(ptx::load(from + column));
      }
    });
  }
};

namespace detail {

template <class T>
status check_part(const backend& b, const partial_attention<T>& p, const char* out,
                  const char* lse) {
  if (status s = check_rows(b, p.out, alignof(T), out); !s) return s;
  return check_rows(b, p.lse, alignof(float), lse);
}

}  // namespace detail

/// Attention over the union of two disjoint parts of a context, as rota::merge(), whose errors it
/// has; everything lies in device memory. Partial results of any elements and any head size; needs
/// no workspace. `result` may be `a` or `b` itself. Results do not depend on timing; those of the
/// CPU differ in the last places.
///
/// Further errors: bad_alignment, wrong_memory. On a fault that was reported before, nothing is
/// written.
template <element In = float, element Out = float>
status merge(const backend& on, const partial_attention<const In>& a,
             const partial_attention<const In>& b, const partial_attention<Out>& result) {
  if (status s = check_backend(on); !s) return s;
  if (status s = rota::detail::check_merge(a, b, result); !s) return s;
  if (status s = detail::check_part(on, a, "a.out", "a.lse"); !s) return s;
  if (status s = detail::check_part(on, b, "b.out", "b.lse"); !s) return s;
  if (status s = detail::check_part(on, result, "result.out", "result.lse"); !s) return s;
  const index_t tokens = a.out.extent[0], heads = a.out.extent[1];
  return launch<merge_parts_kernel>(
      on, {blocks_of(tokens * heads, merge_parts_kernel::rows)},
      {part_rows::of(a), part_rows::of(b), io_element_of<In>(), result.out.data,
       result.out.stride[0], result.out.stride[1], result.lse.data, result.lse.stride[0],
       io_element_of<Out>(), tokens, heads, a.out.extent[2], on.fault});
}

}  // namespace rota::cuda
