#pragma once

#include <algorithm>

#include <rota/core/workspace.hpp>
#include <rota/policy/context.hpp>

namespace rota {

/// Running mean and covariance of the queries of each query head, as Expected Attention reads them
/// (query_moments). The caller owns the memory and feeds queries *before* RoPE as they are
/// computed, a prompt at a time or one by one; the result depends on the cut only by rounding.
///
/// Blocks of up to `block` queries are centred on their own mean and merged by the update of Chan,
/// Golub and LeVeque (1983), so that long contexts lose no digits.
class query_statistics {
 public:
  static constexpr index_t block = 64;

  static std::size_t memory_bytes(index_t q_heads, index_t d) {
    query_statistics s;
    carver count;
    s.carve(count, q_heads, d);
    return count.bytes();
  }

  /// Starts from nothing in `memory` (memory_bytes(), aligned to workspace_alignment), which must
  /// live as long as this. The first `skip` queries are left out: kvpress skips 4, because sinks
  /// are outliers. Errors: bad_shape, bad_count, workspace_too_small ("ws").
  status start(index_t q_heads, index_t d, workspace memory, index_t skip = 4) {
    if (q_heads < 1) return {errc::bad_shape, "q_heads"};
    if (d < 1) return {errc::bad_shape, "d"};
    if (skip < 0) return {errc::bad_count, "skip"};
    query_statistics fresh;
    carver from(memory);
    fresh.carve(from, q_heads, d);
    if (status s = from.check(); !s) return s;
    *this = fresh;
    to_skip_ = skip;
    std::fill_n(mean_.data, q_heads * d, 0.0f);
    std::fill_n(scatter_.data, q_heads * d * d, 0.0f);
    return {};
  }

  /// Adds queries [n, q_heads, d]. Errors: null_view, bad_shape, bad_stride ("queries").
  status update(view<const float, 3> queries) {
    if (mean_.data == nullptr) return {errc::null_view, "statistics"};
    if (status s = check_view(queries, "queries"); !s) return s;
    if (queries.extent[1] != mean_.extent[0] || queries.extent[2] != mean_.extent[1])
      return {errc::bad_shape, "queries"};
    const index_t skipped = std::min(to_skip_, queries.extent[0]);
    to_skip_ -= skipped;
    for (index_t first = skipped; first < queries.extent[0]; first += block) {
      const index_t n = std::min(block, queries.extent[0] - first);
      for (index_t h = 0; h < mean_.extent[0]; ++h) add_block(queries, first, n, h);
      count_ += n;
    }
    return {};
  }

  /// Queries counted so far.
  index_t count() const { return count_; }

  /// The moments so far: the covariance, divided by count() as kvpress does, is written into
  /// `covariance` [q_heads, d, d]; the mean is a view of this object's memory. Both are zero before
  /// the first query. Updates may go on afterwards.
  status finish(view<float, 3> covariance, query_moments& out) const {
    if (mean_.data == nullptr) return {errc::null_view, "statistics"};
    if (status s = check_output(covariance, "covariance"); !s) return s;
    if (covariance.extent != scatter_.extent) return {errc::bad_shape, "covariance"};
    if (overlaps(range_of(covariance), range_of(scatter_)) ||
        overlaps(range_of(covariance), range_of(mean_)))
      return {errc::overlapping_memory, "covariance"};
    const float divisor = static_cast<float>(count_ > 0 ? count_ : 1);
    for (index_t h = 0; h < scatter_.extent[0]; ++h)
      for (index_t i = 0; i < scatter_.extent[1]; ++i)
        for (index_t j = 0; j < scatter_.extent[2]; ++j)
          covariance(h, i, j) = scatter_(h, std::min(i, j), std::max(i, j)) / divisor;
    out.mean = mean_;
    out.covariance = covariance;
    return {};
  }

 private:
  void carve(carver& from, index_t q_heads, index_t d) {
    mean_ = view<float, 2>(from.take<float>(q_heads * d), q_heads, d);
    scatter_ = view<float, 3>(from.take<float>(q_heads * d * d), q_heads, d, d);
    rows_ = from.take<float>(block * d);
    shift_ = from.take<float>(d);
  }

  /// Centres a block on its own mean, adds its scatter and merges the means.
  void add_block(const view<const float, 3>& queries, index_t first, index_t n, index_t h) {
    const index_t d = mean_.extent[1];
    float* const mean = mean_.row(h);
    std::fill_n(shift_, d, 0.0f);
    for (index_t t = 0; t < n; ++t) {
      const float* const q = queries.row(first + t, h);
      for (index_t i = 0; i < d; ++i) shift_[i] += q[i];
    }
    for (index_t i = 0; i < d; ++i) shift_[i] /= static_cast<float>(n);
    for (index_t t = 0; t < n; ++t) {
      const float* const q = queries.row(first + t, h);
      for (index_t i = 0; i < d; ++i) rows_[t * d + i] = q[i] - shift_[i];
    }
    const auto all = static_cast<float>(count_ + n);
    const float weight = static_cast<float>(n) * (static_cast<float>(count_) / all);
    for (index_t i = 0; i < d; ++i) shift_[i] -= mean[i];  // from the old mean to the block's
    for (index_t i = 0; i < d; i += tile_rows) add_scatter(h, n, i, weight);
    for (index_t i = 0; i < d; ++i) mean[i] += shift_[i] * (static_cast<float>(n) / all);
  }

  /// Rows first_row .. of a head's scatter: the block's own, a tile of sums in registers at a time,
  /// and the distance between the means.
  void add_scatter(index_t h, index_t n, index_t first_row, float weight) const {
    const index_t d = mean_.extent[1], rows = std::min(tile_rows, d - first_row);
    for (index_t first = 0; first < d; first += tile_columns) {
      const index_t width = std::min(tile_columns, d - first);
      if (first + width <= first_row) continue;  // finish() mirrors what lies above the diagonal
      float sum[tile_rows][tile_columns] = {};
      if (rows == tile_rows && width == tile_columns)
        sum_tile(n, first_row, first, tile_rows, tile_columns, sum);
      else
        sum_tile(n, first_row, first, rows, width, sum);
      for (index_t r = 0; r < rows; ++r) {
        float* const out = scatter_.row(h, first_row + r) + first;
        const float between = weight * shift_[first_row + r];
        for (index_t l = 0; l < width; ++l) out[l] += sum[r][l] + between * shift_[first + l];
      }
    }
  }

  /// Sums of products of columns of the centred block. Inlined where rows and width are constants,
  /// so that the sums of a full tile stay in registers.
  [[gnu::always_inline]] void sum_tile(index_t n, index_t first_row, index_t first, index_t rows,
                                       index_t width, float (*sum)[32]) const {
    for (index_t t = 0; t < n; ++t) {
      const float* const row = rows_ + t * mean_.extent[1];
      float columns[tile_columns];  // a copy: compilers then see that nothing else changes them
      for (index_t l = 0; l < width; ++l) columns[l] = row[first + l];
      for (index_t r = 0; r < rows; ++r)
        for (index_t l = 0; l < width; ++l) sum[r][l] += row[first_row + r] * columns[l];
    }
  }

  static constexpr index_t tile_rows = 8, tile_columns = 32;

  view<float, 2> mean_;
  view<float, 3> scatter_;  ///< sums of products of deviations from the mean; upper triangles
  float* rows_ = nullptr;   ///< [block, d]
  float* shift_ = nullptr;  ///< [d]
  index_t count_ = 0;
  index_t to_skip_ = 0;
};

}  // namespace rota
