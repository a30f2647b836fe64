#pragma once

#include <rota/cuda/length.cuh>
#include <rota/cuda/ptx/thread.cuh>
#include <rota/policy/concepts.hpp>
#include <rota/select/selection.hpp>

// What a selection's kernels know of the layers of a call. A row is a (layer, kv head), a chunk a
// run of tokens of a row, a unit what a budget ranks together: consecutive rows.

namespace rota::cuda {

/// Tokens that a block looks at, and those of each of its threads.
inline constexpr int select_chunk_tokens = 1024;
inline constexpr int select_threads = 256;
inline constexpr int select_thread_tokens = select_chunk_tokens / select_threads;

/// One layer in device memory.
struct select_entry {
  const float* tokens = nullptr;
  const float* groups = nullptr;
  const group_mask* available = nullptr;
  const std::uint8_t* types = nullptr;
  std::int32_t* indices = nullptr;
  group_mask* masks = nullptr;
  std::int32_t* counts = nullptr;
  index_t token_head = 0, group_head = 0, group_token = 0, available_head = 0;  ///< strides
  index_t index_head = 0, mask_head = 0;
  length_ref length;
  index_t n = 0;  ///< tokens: read by the first kernel
  index_t sinks = 0, window = 0;
  index_t sliding_window = 0;
  const position_t* positions = nullptr;  ///< null: 0, 1, 2, ...
  index_t expired = 0;                    ///< of the first tokens: set by the first kernel
  layer_place place;
  index_t first_head = 0, layer_heads = 1;  ///< of the layer that these heads belong to
  index_t first_row = 0, first_chunk = 0, chunks_per_head = 0;
  std::int32_t kv_heads = 0, group_count = 0;
  bool drop_empty = false;

  ROTA_DEVICE index_t first_ranked() const {
    const index_t own = sinks < n ? sinks : n;
    return own > expired ? own : expired;
  }
  ROTA_DEVICE index_t last_ranked() const {
    const index_t last = window < n ? n - window : 0;
    return last > first_ranked() ? last : first_ranked();
  }
  ROTA_DEVICE bool is_ranked(index_t i) const { return i >= first_ranked() && i < last_ranked(); }
  ROTA_DEVICE index_t guarded_tokens() const {
    return n - expired - (last_ranked() - first_ranked());
  }
  ROTA_DEVICE budget_place place_of(index_t head) const {
    return {place, first_head + head, layer_heads};
  }
  ROTA_DEVICE group_mask available_groups(index_t head, index_t i) const {
    const group_mask all = full_mask(group_count);
    if (available == nullptr) return all;
    return static_cast<group_mask>(ptx::load(available + head * available_head + i) & all);
  }
};

/// A run of tokens of one row.
struct select_chunk {
  select_entry layer;
  index_t number = 0, layer_number = 0, head = 0;
  index_t first = 0, last = 0;  ///< of its tokens

  ROTA_DEVICE index_t row() const { return layer.first_row + head; }
};

/// A set of consecutive rows that a budget ranks together.
struct select_unit {
  index_t first_row = 0, last_row = 0, first_chunk = 0, last_chunk = 0;
};

/// All layers of a call, in the order that breaks ties: layer, head, token.
struct select_table {
  select_entry* layers = nullptr;
  index_t layer_count = 0, rows = 0, chunks = 0;

  ROTA_HD index_t units(budget_scope scope) const {
    if (scope == budget_scope::span) return layer_count > 0 ? 1 : 0;
    return scope == budget_scope::layer ? layer_count : rows;
  }

  /// The last layer whose first row, or chunk, is at or before `number`.
  ROTA_DEVICE index_t layer_of(index_t number, index_t select_entry::*first) const {
    index_t low = 0, high = layer_count;
    while (high - low > 1) {
      const index_t middle = (low + high) / 2;
      if (ptx::load(&(layers[middle].*first)) <= number)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
  ROTA_DEVICE index_t layer_of_row(index_t row) const {
    return layer_of(row, &select_entry::first_row);
  }

  ROTA_DEVICE select_chunk chunk(index_t number) const {
    select_chunk c;
    c.number = number;
    c.layer_number = layer_of(number, &select_entry::first_chunk);
    c.layer = ptx::load(layers + c.layer_number);
    const index_t local = number - c.layer.first_chunk;
    c.head = local / c.layer.chunks_per_head;
    c.first = local % c.layer.chunks_per_head * select_chunk_tokens;
    const index_t last = c.first + select_chunk_tokens;
    c.last = last < c.layer.n ? last : c.layer.n;
    return c;
  }

  ROTA_DEVICE index_t unit_of(budget_scope scope, const select_chunk& c) const {
    if (scope == budget_scope::span) return 0;
    return scope == budget_scope::layer ? c.layer_number : c.row();
  }

  ROTA_DEVICE select_unit unit(budget_scope scope, index_t number) const {
    if (scope == budget_scope::span) return {0, rows, 0, chunks};
    const index_t at = scope == budget_scope::layer ? number : layer_of_row(number);
    const select_entry l = ptx::load(layers + at);
    if (scope == budget_scope::layer)
      return {l.first_row, l.first_row + l.kv_heads, l.first_chunk,
              l.first_chunk + l.kv_heads * l.chunks_per_head};
    const index_t first = l.first_chunk + (number - l.first_row) * l.chunks_per_head;
    return {number, number + 1, first, first + l.chunks_per_head};
  }
};

/// Writes some layers' entries, which come as its arguments: a copy from host memory would have to
/// outlive a captured graph.
struct stage_layers_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;
  static constexpr int most = 16;

  struct arguments {
    select_entry entries[most];
    int count;
    select_entry* to;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const int i = static_cast<int>(ptx::thread_index());
    if (i >= a.count) return;
    select_entry entry = a.entries[i];
    entry.n = entry.length.get(a.fault);
    entry.expired = tokens_expired(entry.n, entry.sliding_window, [&](index_t t) {
      return entry.positions != nullptr ? ptx::load(entry.positions + t)
                                        : static_cast<position_t>(t);
    });
    ptx::store(a.to + i, entry);
  }
};

}  // namespace rota::cuda
