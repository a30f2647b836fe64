#pragma once

#include <cmath>

#include <rota/cuda/score/attention_mass.cuh>
#include <rota/score/attention_mass_wo.hpp>
#include <rota/score/wo_norm.hpp>

// Group scorers that measure slices behind the output projection, v' gram v. In floats, not on the
// matrix unit: a slice is narrower than a tile there, and a norm is the root of sums that cancel.

namespace rota::cuda {

/// A slice's norm counts as it is.
struct equal_weights {
  ROTA_DEVICE float pooled(index_t, index_t, index_t) const { return 1; }
};

/// The norms of 64 tokens' slices s, each times the token's weight: a thread a token, a block for
/// each (tokens, kv head, s). Weights: what mass_scores has of pooled().
template <element E, class Weights>
struct projected_slices_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 4;
  /// Columns of the Gram matrix that are in shared memory at a time.
  static constexpr int columns = 8;
  static std::uint32_t shared_bytes(index_t width) {
    return static_cast<std::uint32_t>(width * columns * 4) + float_rows::bytes(width);
  }

  struct arguments {
    Weights weights;
    pack_source<E> from;
    const float* gram;
    index_t gram_head, gram_slice;  ///< strides
    int width;
    float* out;
    index_t out_head, out_token;  ///< strides
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t first = index_t{ptx::block_x()} * threads, head = ptx::block_y();
    const index_t s = ptx::block_z(), n = a.from.tokens.get(a.fault), left = n - first;
    if (left <= 0) return;
    const int tokens = static_cast<int>(left < threads ? left : threads);
    const float_rows rows{ptx::shared_base() + static_cast<std::uint32_t>(a.width * columns * 4),
                          a.width};
    rows.fill<E>(tokens, [&](int j) { return a.from.value(first + j, head) + s * a.width; });
    const float* const gram = a.gram + head * a.gram_head + s * a.gram_slice;
    const int own = static_cast<int>(ptx::thread_index());
    float sum = 0;
    for (int column = 0; column < a.width; column += columns) {
      ptx::sync_block();  // the columns before have been read
      load_columns(gram, a.width, column);
      ptx::sync_block();
      if (own < tokens) sum += form(rows.row(own), a.width, column);
    }
    if (own >= tokens) return;
    // As projected_norm(): rounding may take a norm of nearly 0 below it, NaN goes on.
    const float norm = sum < 0 ? 0.0f : std::sqrt(sum);
    ptx::store(a.out + head * a.out_head + (first + own) * a.out_token + s,
               a.weights.pooled(head, first + own, n) * norm);
  }

 private:
  struct alignas(16) quad {
    float x[4];
  };

  /// [width, columns], zero behind the last.
  ROTA_DEVICE static void load_columns(const float* gram, int width, int first) {
    const ptx::shared_array<float> to{ptx::shared_base()};
    for (int i = static_cast<int>(ptx::thread_index()); i < width * columns; i += threads) {
      const int column = first + i % columns;
      to.set(i, column < width ? ptx::load(gram + i / columns * width + column) : 0.0f);
    }
  }

  /// The columns' part of v' gram v.
  ROTA_DEVICE static float form(ptx::shared_address v, int width, int first) {
    const ptx::shared_array<float> own{v};
    const ptx::shared_array<quad> gram{ptx::shared_base()};
    float sums[columns] = {};
    for (int j = 0; j < width; ++j) {
      const float x = own[j];
      const quad low = gram[2 * j], high = gram[2 * j + 1];
      ROTA_UNROLL
      for (int k = 0; k < 4; ++k) {
        sums[k] += x * low.x[k];
        sums[4 + k] += x * high.x[k];
      }
    }
    float sum = 0;
    ROTA_UNROLL
    for (int k = 0; k < columns; ++k)
      if (first + k < width) sum += own[first + k] * sums[k];
    return sum;
  }
};

template <element E, class Weights, class... Parts>
status launch_projected_slices(const backend& b, const context<E, Parts...>& c, int width,
                               const Weights& weights, const view<float, 3>& out) {
  using kernel = projected_slices_kernel<E, Weights>;
  return launch<kernel>(b, {blocks_of(c.tokens(), kernel::threads), c.kv_heads(), out.extent[2]},
                        {weights, pack_source<E>(c), c.gram.data, c.gram.stride[0],
                         c.gram.stride[1], width, out.data, out.stride[0], out.stride[1], b.fault},
                        kernel::shared_bytes(width));
}

/// wo_norm: what score_groups() calls. Errors besides its own: "gram" with bad_shape, null_view,
/// bad_stride, bad_alignment and wrong_memory.
template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend&, wo_norm, const wo_norm::params&,
                                               const context<E, Parts...>&, int) {
  return 0;
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, wo_norm, const wo_norm::params&,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace) {
  if (status s = check_gram(c, out.extent[2], width); !s) return s;
  if (status s = check_rows(b, c.gram, alignof(float), "gram"); !s) return s;
  return launch_projected_slices(b, c, width, equal_weights{}, out);
}

/// Attention mass times wo_norm: what score_groups() calls. Errors besides its own: those of
/// attention_mass and of wo_norm.
template <element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, attention_mass_wo,
                                               const attention_mass_wo::params& p,
                                               const context<E, Parts...>& c, int width) {
  return score_whole_groups_workspace_bytes(b, attention_mass{}, p, c, width);
}

template <element E, class... Parts>
status score_whole_groups(const backend& b, attention_mass_wo, const attention_mass_wo::params& p,
                          const context<E, Parts...>& c, int width, const view<float, 3>& out,
                          workspace ws) {
  if (status s = check_gram(c, out.extent[2], width); !s) return s;
  if (status s = check_rows(b, c.gram, alignof(float), "gram"); !s) return s;
  mass_scores weights;
  if (status s = pool_mass(b, p, c, out, ws, weights); !s) return s;
  return launch_projected_slices(b, c, width, weights, out);
}

}  // namespace rota::cuda
