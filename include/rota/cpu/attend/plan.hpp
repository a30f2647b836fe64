#pragma once

#include <span>
#include <type_traits>

#include <rota/core/workspace.hpp>
#include <rota/cpu/attend/rows.hpp>
#include <rota/cpu/attend/shares.hpp>
#include <rota/cpu/backend.hpp>

// How a batch is cut into units of work. Nothing here depends on the number of threads except the
// number of scratch areas, so results do not either.

namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail {

/// Rows that share a pass over K and V.
inline constexpr index_t target_rows = 64;
/// Units that an item is cut into, and the bytes that are worth one: each is merged, and a thread
/// that has none left waits for the last. Each item is cut by itself, so that
/// its result does not depend on what else is in the batch.
inline constexpr index_t target_units = 256;
inline constexpr index_t least_unit_bytes = index_t{1} << 19;
/// Many queries make few tokens a lot of work, and a context of few bytes is still to be shared.
inline constexpr index_t least_unit_tokens = 512;
inline constexpr index_t most_least_unit_tokens = 4096;
/// A state of many rows is as large as many tokens: a unit is to read more than it leaves to be
/// merged, as long as there are enough units.
inline constexpr index_t least_bytes_over_state = 16;
inline constexpr index_t enough_units = 128;

/// One kv head of one item.
struct segment {
  index_t item = 0;
  index_t head = 0;
  index_t first_unit = 0;
  index_t first_merge = 0;  ///< number of its first tile among those that are merged
  index_t blocks = 0;
  index_t blocks_a_chunk = 0;
  index_t chunks = 0;
  float* states = nullptr;  ///< [tiles][chunks][state floats] where chunks > 1
};

/// Whose queries a worker has staged, on a cache line of its own. Units that follow each other
/// mostly ask the same.
struct alignas(64) staged_rows {
  index_t item = -1;
  index_t head = -1;
  index_t tile = -1;
  bool operator==(const staged_rows&) const = default;
};

/// How the query rows of an item are cut: tiles of whole query tokens, G rows each.
struct row_tiling {
  index_t tokens = 0;  ///< n
  index_t heads_a_group = 0;
  index_t tokens_a_tile = 0;
  index_t tiles = 0;
  index_t groups = 0;
  index_t code_rank = 0;

  template <class Store, class Io>
  explicit row_tiling(const attend_item<Store, Io>& item) {
    tokens = item.q.extent[0];
    heads_a_group = item.q.extent[1] / item.store->kv_heads();
    tokens_a_tile = std::min(std::max<index_t>(target_rows / heads_a_group, 1), tokens);
    tiles = tokens == 0 ? 0 : (tokens + tokens_a_tile - 1) / tokens_a_tile;
    code_rank = code_rank_of(*item.store);
    groups = item.store->means(0) == nullptr ? 0 : item.store->d_v() / item.store->group_width();
  }
  index_t rows() const { return tokens_a_tile * heads_a_group; }
  index_t rows_of(index_t tile) const {
    return std::min(tokens_a_tile, tokens - tile * tokens_a_tile) * heads_a_group;
  }
};

/// Where a worker's scratch has what it needs of a tile of query rows, in floats from its start:
/// queries, their tiles, and the weights of a tile of tokens.
struct row_scratch {
  index_t query_tiles = 0;
  index_t weight_tiles = 0;
  index_t floats = 0;

  template <codec C>
  row_scratch(std::type_identity<C>, index_t rows, index_t d_k, index_t d_v) {
    query_tiles = align_up(padded_rows(rows) * padded(d_k), 16);
    weight_tiles = query_tiles + align_up(padded_rows(rows) * query_tile_floats(d_k), 16);
    floats = weight_tiles;
    if (query_tile_floats(d_k) > 0 && takes_value_tiles<C>(rows, d_v))
      floats += sets_of_16(rows) * weight_tile_floats;
  }
};

template <class Store, class Io>
index_t state_floats(const attend_item<Store, Io>& item, const row_tiling& t) {
  return align_up(row_state::floats(t.rows(), t.groups, item.store->d_v(), t.code_rank), 16);
}

/// Tokens of a usual block of a head: all but the last blocks are about as large as the first.
template <class Store>
index_t block_tokens(const Store& store, index_t head) {
  return store.block_count(head) == 0 ? 1 : std::max<index_t>(store.block_at(head, 0).count, 1);
}

/// Tokens that make a unit of an item, of which `t.tiles` tiles each read all.
template <class Store, class Io>
index_t unit_tokens(const attend_item<Store, Io>& item, const row_tiling& t) {
  index_t tokens = 0;
  for (index_t h = 0; h < item.store->kv_heads(); ++h)
    tokens += item.store->block_count(h) * block_tokens(*item.store, h);
  constexpr codec_sizes size = codec_traits<typename Store::element_type>::sizes;
  const index_t bytes = item.store->d_k() * size.key + item.store->d_v() * size.value;
  const index_t queries = std::max<index_t>(t.tokens_a_tile, 1);
  const index_t least =
      std::clamp(least_unit_bytes / (bytes * queries), least_unit_tokens, most_least_unit_tokens);
  const index_t state_bytes = state_floats(item, t) * static_cast<index_t>(sizeof(float));
  const index_t worth_a_state =
      std::min(least_bytes_over_state * state_bytes / bytes, tokens / enough_units);
  return std::max({(tokens * t.tiles + target_units - 1) / target_units, least, worth_a_state});
}

template <class Store, class Io>
class plan {
 public:
  using batch_type = std::span<const attend_item<Store, Io>>;

  segment* segments = nullptr;
  index_t segment_count = 0;
  index_t units = 0;
  index_t merges = 0;
  index_t scratch_rows = 0;    ///< padded rows of the largest tile
  index_t scratch_floats = 0;  ///< a worker's: queries, weights and one state
  float* scratch = nullptr;
  sight* sights = nullptr;
  unit_share* shares = nullptr;   ///< [threads]
  staged_rows* staged = nullptr;  ///< [threads]

  plan(carver& c, const backend& b, batch_type batch) {
    index_t rows_most = 0;
    index_t q_floats = 0;
    index_t state_most = 0;
    for (const auto& item : batch) {
      const row_tiling t(item);
      segment_count += item.store->kv_heads();
      rows_most = std::max(rows_most, padded_rows(t.rows()));
      const index_t d_k = item.store->d_k();
      const row_scratch own(std::type_identity<typename Store::element_type>{}, t.rows(), d_k,
                            item.store->d_v());
      q_floats = std::max(q_floats, own.floats);
      state_most = std::max(state_most, state_floats(item, t));
    }
    segments = c.take<segment>(segment_count);
    scratch_rows = rows_most;
    scratch_floats = align_up(q_floats, 16) + state_most;
    scratch = c.take<float>(b.exec.threads * scratch_floats);
    sights = c.take<sight>(b.exec.threads * scratch_rows);
    place(c, batch);
    const int workers = units > 0 ? b.exec.threads : 0;
    shares = c.take<unit_share>(workers);
    staged = c.take<staged_rows>(workers);
    for (int w = 0; staged != nullptr && w < workers; ++w) staged[w] = {};
  }

  const segment& segment_of_unit(index_t unit) const {
    return *(std::upper_bound(segments, segments + segment_count, unit,
                              [](index_t u, const segment& s) { return u < s.first_unit; }) -
             1);
  }
  const segment& segment_of_merge(index_t merge) const {
    return *(std::upper_bound(segments, segments + segment_count, merge,
                              [](index_t m, const segment& s) { return m < s.first_merge; }) -
             1);
  }

 private:
  /// Numbers the units of every segment and takes memory for the states that will be merged.
  void place(carver& c, batch_type batch) {
    segment* out = segments;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto& item = batch[i];
      const row_tiling t(item);
      const index_t unit = unit_tokens(item, t);
      for (index_t h = 0; h < item.store->kv_heads(); ++h) {
        segment s = cut(*item.store, static_cast<index_t>(i), h, unit * t.tiles);
        if (s.chunks > 1) {
          s.states = c.take<float>(t.tiles * s.chunks * state_floats(item, t));
          merges += t.tiles;
        }
        units += t.tiles * s.chunks;
        if (out != nullptr) *out++ = s;
      }
    }
  }

  /// Many tiles are enough to share out: then chunks grow, and fewer states wait to be merged.
  segment cut(const Store& store, index_t item, index_t head, index_t chunk_tokens) const {
    segment s;
    s.item = item;
    s.head = head;
    s.first_unit = units;
    s.first_merge = merges;
    s.blocks = store.block_count(head);
    s.blocks_a_chunk = std::max<index_t>(chunk_tokens / block_tokens(store, head), 1);
    s.chunks = std::max<index_t>((s.blocks + s.blocks_a_chunk - 1) / s.blocks_a_chunk, 1);
    return s;
  }
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::attend_detail
