#pragma once

#include <rota/cuda/attend/tile.cuh>

namespace rota::cuda {

/// Rows that a warp copies at a time.
inline constexpr int warp_rows = 16;

/// Copies keys and values of tokens `first` .. `first + count - 1`, at most warp_rows, to the first
/// rows of `keys` and `values`, by 16 bytes: of Chunks a row. Part of the threads' open groups. All
/// lanes of a warp take part: each looks up one row, if that takes loads, and says where it is.
template <int Chunks, class Rows>
ROTA_DEVICE void copy_rows(const Rows& rows, index_t h, index_t first, int count,
                           const tile_rows& keys, const tile_rows& values, std::uint32_t* fault) {
  static_assert(warp_rows * Chunks % ptx::warp_threads == 0);
  using pair = row_pair<typename Rows::element_type>;
  const int lane = static_cast<int>(ptx::lane_index());
  pair own;
  if constexpr (Rows::in_table)
    if (lane < count) own = rows.row(h, first + lane, fault);
  ROTA_UNROLL
  for (int i = 0; i < warp_rows * Chunks / ptx::warp_threads; ++i) {
    const int at = i * ptx::warp_threads + lane, j = at / Chunks, c = at % Chunks;
    pair row;
    if constexpr (Rows::in_table)
      row = {ptx::shuffle_pointer(own.key, j), ptx::shuffle_pointer(own.value, j)};
    else if (j < count)
      row = rows.row(h, first + j, fault);
    if (row.key == nullptr) continue;
    ptx::copy16_async(keys.chunk(j, c),
                      reinterpret_cast<const std::byte*>(row.key) + c * chunk_bytes);
    ptx::copy16_async(values.chunk(j, c),
                      reinterpret_cast<const std::byte*>(row.value) + c * chunk_bytes);
  }
}

}  // namespace rota::cuda
