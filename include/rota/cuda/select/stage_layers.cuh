#pragma once

#include <span>

#include <rota/cuda/launch.cuh>
#include <rota/cuda/select/check.cuh>

namespace rota::cuda::detail {

/// How many rows and chunks the layers of a call have; their memory comes later.
inline select_table table_of(std::span<const select_problem> problems, index_t layers) {
  select_table t;
  t.layer_count = layers;
  for (index_t l = 0; l < layers; ++l) {
    const select_problem& p = problem_of(problems, l);
    t.rows += p.kv_heads;
    t.chunks += p.kv_heads * blocks_of(p.tokens, select_chunk_tokens);
  }
  return t;
}

/// Sends the layers' entries to the device. `entry(l)`: of layer l, without its place in the table.
template <class Entry>
status stage_layers(const backend& b, const select_table& table, Entry&& entry) {
  index_t row = 0, chunk = 0;
  for (index_t first = 0; first < table.layer_count; first += stage_layers_kernel::most) {
    stage_layers_kernel::arguments a{};
    a.to = table.layers + first;
    a.fault = b.fault;
    for (index_t l = first; l < table.layer_count && a.count < stage_layers_kernel::most; ++l) {
      select_entry& e = a.entries[a.count++];
      e = entry(l);
      e.first_row = row;
      e.first_chunk = chunk;
      e.chunks_per_head = blocks_of(e.length.capacity, select_chunk_tokens);
      row += e.kv_heads;
      chunk += e.kv_heads * e.chunks_per_head;
    }
    if (status s = launch<stage_layers_kernel>(b, {1}, a); !s) return s;
  }
  return {};
}

}  // namespace rota::cuda::detail
