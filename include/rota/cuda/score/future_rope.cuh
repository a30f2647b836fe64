#pragma once

#include <rota/cuda/launch.cuh>
#include <rota/cuda/length.cuh>
#include <rota/cuda/product/split_rows.cuh>
#include <rota/cuda/ptx/math.cuh>
#include <rota/score/expected_attention.hpp>

// The mean RoPE matrix over the positions behind a context, and the moments of queries turned by
// it.

namespace rota::cuda {

/// Of a pair of channels: mean cosine and sine.
struct alignas(16) rope_pair {
  double cosine, sine;
};

/// For each pair the closed form: the mean of exp(i f p) over `count` positions from `first` on is
/// exp(i f (first + (count - 1) / 2)) * sin(count f / 2) / (count sin(f / 2)).
struct mean_rope_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;

  struct arguments {
    const float* frequencies;
    index_t pairs;
    index_t count;
    float scale;
    const position_t* positions;  ///< null: 0, 1, 2, ...
    length_ref tokens;
    rope_pair* out;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t last = a.tokens.get(a.fault) - 1;
    if (last < 0) return;
    const index_t first =
        (a.positions != nullptr ? index_t{ptx::load(a.positions + last)} : last) + 1;
    constexpr double turns_a_radian = 0.15915494309189535;
    const auto n = static_cast<double>(a.count);
    const double middle = static_cast<double>(first) + (n - 1) / 2;
    for (index_t i = ptx::thread_index(); i < a.pairs; i += threads) {
      const double f = static_cast<double>(ptx::load(a.frequencies + i)) * turns_a_radian;
      const double step = ptx::turn(f / 2).sine;
      const double length = step == 0 ? 1 : ptx::turn(n * f / 2).sine / (n * step);
      const ptx::circle_point at = ptx::turn(f * middle);
      const double size = static_cast<double>(a.scale) * length;
      ptx::store(a.out + i, rope_pair{size * at.cosine, size * at.sine});
    }
  }
};

/// The mean RoPE matrix.
struct mean_rope {
  const rope_pair* rope;
  index_t pairs;
  rope_pairing pairing;
};

/// Element `row` of Rbar x, for the two elements of x that it is made of: one, where it is not
/// rotated.
struct rope_row {
  index_t low, high;  ///< of x
  double of_low = 1, of_high = 0;

  ROTA_DEVICE rope_row(const mean_rope& m, index_t row) : low(row), high(row) {
    if (row >= 2 * m.pairs) return;
    const index_t pair = rope_pair_of(m.pairing, row, m.pairs);
    const rope_channels at(m.pairing, pair, m.pairs);
    const rope_pair mean = ptx::load(m.rope + pair);
    low = at.low;
    high = at.high;
    of_low = row == low ? mean.cosine : mean.sine;
    of_high = row == low ? -mean.sine : mean.cosine;
  }
};

/// Rbar mu of each query head, over sqrt(d).
struct rotate_means_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  struct arguments {
    const float* mean;
    index_t stride, d;
    mean_rope rope;
    double factor;
    float* out;  ///< [q_heads, d]
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t q = ptx::block_x();
    for (index_t k = ptx::thread_index(); k < a.d; k += threads) {
      const rope_row r(a.rope, k);
      const float* const mean = a.mean + q * a.stride;
      const double sum = r.of_low * static_cast<double>(ptx::load(mean + r.low)) +
                         r.of_high * static_cast<double>(ptx::load(mean + r.high));
      ptx::store(a.out + q * a.d + k, static_cast<float>(a.factor * sum));
    }
  }
};

/// Rbar Sigma Rbar' of a query head, over 2 d. Null data: zeros.
struct rotated_covariance {
  const float* data;
  index_t head_stride, row_stride;
  mean_rope rope;
  double factor;

  ROTA_DEVICE float operator()(index_t head, index_t i, index_t j) const {
    if (data == nullptr) return 0;
    const rope_row row(rope, i), column(rope, j);
    const auto at = [&](index_t from, index_t k) {
      return static_cast<double>(ptx::load(data + head * head_stride + from * row_stride + k));
    };
    const double low =
        column.of_low * at(row.low, column.low) + column.of_high * at(row.low, column.high);
    const double high =
        column.of_low * at(row.high, column.low) + column.of_high * at(row.high, column.high);
    return static_cast<float>(factor * (row.of_low * low + row.of_high * high));
  }
};

}  // namespace rota::cuda
