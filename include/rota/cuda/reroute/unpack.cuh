#pragma once

#include <rota/cuda/attend/segment.cuh>

// A packed store's tokens, sealed and tail, as plain rows again. How many there are is read where
// it lies, in device memory.

namespace rota::cuda {

/// Rows of all heads, of which each has room for `most`.
template <element E>
struct unpacked_rows {
  E* keys = nullptr;                ///< [kv_heads, most, d_k]
  E* values = nullptr;              ///< [kv_heads, most, d_v], dropped groups filled
  position_t* positions = nullptr;  ///< [kv_heads, most]
  group_mask* available = nullptr;  ///< [kv_heads, most], the groups that are really stored
  std::int32_t* lengths = nullptr;  ///< [kv_heads]
  index_t most = 0;
};

/// How many tokens each head has: a thread a head. bad_store: more than the handle says, or it is
/// no such store.
template <element E, int W, class Swizzle>
struct count_tokens_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;

  struct arguments {
    packed_source<E, W, Swizzle> from;
    index_t most_sealed;    ///< of a head
    std::int32_t* lengths;  ///< [kv_heads]
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t h = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (h >= a.from.rows.kv_heads || !a.from.is_sound(a.fault)) return;
    const packed_head* const head = a.from.parts().head(h);
    const std::uint64_t tokens = ptx::load(&head->tokens);
    const std::uint64_t records = ptx::load(&head->record_count);
    const bool sound = tokens <= static_cast<std::uint64_t>(a.most_sealed) &&
                       records == (tokens + record_tokens - 1) / record_tokens &&
                       ptx::load(&head->first_record) + records <=
                           ptx::load(&a.from.parts().header()->record_count);
    if (!sound) report(a.fault, errc::bad_store, culprit::store);
    ptx::store(a.lengths + h, sound ? static_cast<std::int32_t>(static_cast<index_t>(tokens) +
                                                                a.from.rows.count(a.fault))
                                    : 0);
  }
};

/// What the dropped groups of a head are filled with (fill/mean.hpp, fill/low_rank.hpp).
template <element E>
struct stand_ins {
  const float* means = nullptr;  ///< [d_v], or null
  const E* decoder = nullptr;    ///< [rank, d_v]
  const E* codes = nullptr;      ///< [tokens of the record, rank]
  int rank = 0, d_v = 0;

  /// Of value c of the record's token j.
  ROTA_DEVICE float at(int j, int c) const {
    float sum = means != nullptr ? ptx::load(means + c) : 0.0f;
    for (int r = 0; r < rank; ++r)
      sum += static_cast<float>(ptx::load(codes + j * rank + r)) *
             static_cast<float>(ptx::load(decoder + r * d_v + c));
    return sum;
  }
};

/// Writes the rows: a block a record, then one for each 64 tokens of the tail.
template <element E, int W, class Swizzle>
struct unpack_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;

  struct arguments {
    packed_source<E, W, Swizzle> from;
    index_t most_records;  ///< of a head
    unpacked_rows<E> to;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t tile = ptx::block_x(), h = ptx::block_y();
    if (tile < a.most_records)
      unpack_record(a, h, tile);
    else
      unpack_tail(a, h, (tile - a.most_records) * record_tokens);
  }

 private:
  static constexpr int elements = chunk_bytes / static_cast<int>(sizeof(E));
  static constexpr int slice = W / elements;  ///< chunks of a group

  /// Where rows of a head go, from one of them on.
  struct target {
    ptx::chunk16* keys;
    ptx::chunk16* values;
    position_t* positions;
    group_mask* available;

    ROTA_DEVICE target(const arguments& a, index_t h, index_t first) {
      const index_t at = h * a.to.most + first;
      keys = reinterpret_cast<ptx::chunk16*>(a.to.keys + at * a.from.rows.d_k);
      values = reinterpret_cast<ptx::chunk16*>(a.to.values + at * a.from.rows.d_v);
      positions = a.to.positions + at;
      available = a.to.available + at;
    }
  };

  /// Copies rows of `row` chunks; `at(j, c)` is where chunk c of row j lies.
  template <class At>
  ROTA_DEVICE static void copy_rows(int tokens, int row, ptx::chunk16* to, At&& at) {
    for (int i = static_cast<int>(ptx::thread_index()); i < tokens * row; i += threads)
      ptx::store(to + i, ptx::load(at(i / row, i % row)));
  }
  ROTA_DEVICE static int chunks_of(index_t d) { return static_cast<int>(d) / elements; }
  ROTA_DEVICE static group_mask all_groups(const arguments& a) {
    return full_mask(static_cast<int>(a.from.rows.d_v / W));
  }

  ROTA_DEVICE static void unpack_tail(const arguments& a, index_t h, index_t first) {
    const tail_rows<E>& rows = a.from.rows;
    const index_t left = rows.count(a.fault) - first;
    if (left <= 0) return;
    const int tokens = static_cast<int>(left < record_tokens ? left : record_tokens);
    const target to(a, h, static_cast<index_t>(ptx::load(&a.from.parts().head(h)->tokens)) + first);
    const auto copy = [&](const E* row, index_t d, ptx::chunk16* out) {
      const int chunks = chunks_of(d);
      copy_rows(tokens, chunks, out, [&](int j, int c) {
        return reinterpret_cast<const ptx::chunk16*>(row) + j * chunks + c;
      });
    };
    copy(rows.key(h, first, a.fault), rows.d_k, to.keys);
    copy(rows.value(h, first, a.fault), rows.d_v, to.values);
    for (int j = static_cast<int>(ptx::thread_index()); j < tokens; j += threads) {
      ptx::store(to.positions + j,
                 static_cast<position_t>(a.from.row_position(first + j, a.fault)));
      ptx::store(to.available + j, all_groups(a));
    }
  }

  ROTA_DEVICE static void unpack_record(const arguments& a, index_t h, index_t r) {
    const packed_head* const head = a.from.parts().head(h);
    if (r >= static_cast<index_t>(ptx::load(&head->record_count))) return;
    const index_t left = static_cast<index_t>(ptx::load(&head->tokens)) - r * record_tokens;
    const int tokens = static_cast<int>(left < record_tokens ? left : record_tokens);
    const std::byte* const memory = a.from.rows.data + a.from.record_begin(h, r);
    const auto* const own = reinterpret_cast<const record_header*>(memory);
    const auto order = static_cast<value_order>(ptx::load(&own->order));
    const int slices = static_cast<int>(ptx::load(&own->slices));
    if (ptx::load(&own->tokens) != tokens ||
        (order != value_order::whole && order != value_order::token_major)) {
      report(a.fault, errc::bad_store, culprit::store);
      return;
    }
    const record_shape shape{a.from.rows.d_k, a.from.rows.d_v, W, codec_traits<E>::sizes,
                             a.from.code_rank};
    const record_layout at = layout_record(shape, order, tokens, slices);
    const target to(a, h, r * record_tokens);
    const auto swizzled = [&](index_t offset, index_t d, ptx::chunk16* out) {
      const int row = chunks_of(d);
      copy_rows(tokens, row, out, [&](int j, int c) {
        return reinterpret_cast<const ptx::chunk16*>(memory + offset) + j * row +
               Swizzle::row_chunk(j, c, row);
      });
    };
    swizzled(at.keys, shape.d_k, to.keys);
    const bool whole = order == value_order::whole;
    const auto* const positions = reinterpret_cast<const position_t*>(memory + at.positions);
    const auto* const masks = reinterpret_cast<const group_mask*>(memory + at.masks);
    for (int j = static_cast<int>(ptx::thread_index()); j < tokens; j += threads) {
      ptx::store(to.positions + j, ptx::load(positions + j));
      ptx::store(to.available + j, whole ? all_groups(a) : ptx::load(masks + j));
    }
    if (whole)
      swizzled(at.values, shape.d_v, to.values);
    else
      unpack_slices(memory, at, tokens, slices, stand_ins_of(a, h, memory + at.codes), to);
  }

  ROTA_DEVICE static stand_ins<E> stand_ins_of(const arguments& a, index_t h,
                                               const std::byte* codes) {
    const packed_source<E, W, Swizzle>& from = a.from;
    const std::byte* const fill = from.rows.data + ptx::load(&from.parts().header()->fill_at);
    const index_t d_v = from.rows.d_v;
    stand_ins<E> s;
    if (from.has_means) s.means = reinterpret_cast<const float*>(fill) + h * d_v;
    s.decoder = reinterpret_cast<const E*>(fill) + h * from.code_rank * d_v;
    s.codes = reinterpret_cast<const E*>(codes);
    s.rank = from.code_rank;
    s.d_v = static_cast<int>(d_v);
    return s;
  }

  /// The values of tokens that keep only some groups, a thread a chunk.
  ROTA_DEVICE static void unpack_slices(const std::byte* memory, const record_layout& at,
                                        int tokens, int slices, const stand_ins<E>& fill,
                                        const target& to) {
    struct alignas(16) block {
      E values[elements];
    };
    const auto* const masks = reinterpret_cast<const group_mask*>(memory + at.masks);
    const auto* const starts = reinterpret_cast<const std::uint16_t*>(memory + at.starts);
    const auto* const values = reinterpret_cast<const ptx::chunk16*>(memory + at.values);
    const int row = chunks_of(fill.d_v);
    for (int i = static_cast<int>(ptx::thread_index()); i < tokens * row; i += threads) {
      const int j = i / row, c = i % row, group = c / slice;
      const unsigned mask = ptx::load(masks + j);
      const bool kept = (mask >> group & 1u) != 0;
      ptx::chunk16 chunk{};
      if (kept) {
        const int rank = ptx::count_bits(mask & ((1u << group) - 1u));
        const int number = (ptx::load(starts + j) + rank) * slice + c % slice;
        chunk = ptx::load(values + Swizzle::slice_chunk(number, slices * slice));
      }
      if (!kept || fill.rank > 0) {
        // What is stored of a kept group is a residual then.
        block b = bit_cast<block>(chunk);
        ROTA_UNROLL
        for (int k = 0; k < elements; ++k)
          b.values[k] = static_cast<E>(fill.at(j, c * elements + k) +
                                       (kept ? static_cast<float>(b.values[k]) : 0.0f));
        chunk = bit_cast<ptx::chunk16>(b);
      }
      ptx::store(to.values + i, chunk);
    }
  }
};

}  // namespace rota::cuda
