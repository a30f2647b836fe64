#pragma once

#include <rota/cuda/select/marks.cuh>
#include <rota/cuda/store/packed.cuh>
#include <rota/store/packed_size.hpp>

// What the packed stores of a decided selection weigh, without the selection being written.

namespace rota::cuda {

/// The kept groups of every record of every row, as they are counted.
struct weigh_table {
  std::uint32_t* slices = nullptr;  ///< a row's records start at its first chunk's
  std::uint32_t* tokens = nullptr;  ///< [rows]

  /// As many records as the tokens of a chunk can fill.
  static constexpr index_t records_a_chunk = select_chunk_tokens / record_tokens;
};

/// Adds the kept groups of a chunk to its row's records: a block a chunk.
struct weigh_chunks_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    select_table table;
    const std::uint8_t* alive;
    const group_mask* masks;
    const std::uint32_t* before;  ///< [chunks]: kept tokens of the row before the chunk
    weigh_table to;               ///< slices are zero
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(ptx::block_x());
    const index_t base = c.number * select_chunk_tokens;
    const select_unit row = a.table.unit(budget_scope::head, c.row());
    std::uint32_t* const slices = a.to.slices + row.first_chunk * weigh_table::records_a_chunk;
    const index_t kept = for_each_kept(c, a.alive, a.before, [&](int k, index_t place) {
      ptx::atomic_add(slices + place / record_tokens,
                      static_cast<std::uint32_t>(ptx::count_bits(ptx::load(a.masks + base + k))));
    });
    if (c.number + 1 == row.last_chunk && ptx::thread_index() == 0)
      ptx::store(a.to.tokens + c.row(), static_cast<std::uint32_t>(kept));
  }
};

/// What the records of a row are.
struct row_weight {
  std::uint64_t records = 0, bytes = 0;
};

/// Weighs the rows' records, a warp a row, and leaves their counts at zero.
struct weigh_rows_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;
  static constexpr int rows_a_block = threads / ptx::warp_threads;

  struct arguments {
    select_table table;
    const packed_shape* shapes;  ///< [layers]
    weigh_table from;
    row_weight* rows;  ///< [rows]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t row = index_t{ptx::block_x()} * rows_a_block + ptx::warp_index();
    if (row >= a.table.rows) return;
    const packed_shape shape = ptx::load(a.shapes + a.table.layer_of_row(row));
    const index_t first =
        a.table.unit(budget_scope::head, row).first_chunk * weigh_table::records_a_chunk;
    const index_t tokens = ptx::load(a.from.tokens + row);
    const index_t records = (tokens + record_tokens - 1) / record_tokens;
    std::uint64_t bytes = 0;
    for (index_t r = ptx::lane_index(); r < records; r += ptx::warp_threads) {
      const index_t left = tokens - r * record_tokens;
      const index_t own = left < record_tokens ? left : record_tokens;
      const index_t slices = ptx::load(a.from.slices + first + r);
      ptx::store(a.from.slices + first + r, 0u);
      const value_order order = record_order(shape, own, slices);
      bytes += static_cast<std::uint64_t>(layout_record(shape.record, order, own, slices).bytes);
    }
    bytes = ptx::warp_sum(bytes);
    if (ptx::lane_index() == 0)
      ptx::store(a.rows + row, row_weight{static_cast<std::uint64_t>(records), bytes});
  }
};

/// Sealed bytes of a layer's store: header, tables, fill, records; no tail.
ROTA_DEVICE index_t weigh_layer(const select_table& table, index_t layer, const packed_shape& shape,
                                const row_weight* rows) {
  const select_unit unit = table.unit(budget_scope::layer, layer);
  std::uint64_t records = 0, bytes = 0;
  for (index_t row = unit.first_row; row < unit.last_row; ++row) {
    const row_weight own = ptx::load(rows + row);
    records += own.records;
    bytes += own.bytes;
  }
  return static_cast<index_t>(
      layout_packed(shape, static_cast<index_t>(records), static_cast<index_t>(bytes))
          .tail_keys_at);
}

/// Writes some layers' shapes, which come as its arguments.
struct stage_shapes_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  static constexpr int most = 16;

  struct arguments {
    packed_shape shapes[most];
    int count;
    packed_shape* to;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const int i = static_cast<int>(ptx::thread_index());
    if (i < a.count) ptx::store(a.to + i, a.shapes[i]);
  }
};

}  // namespace rota::cuda
