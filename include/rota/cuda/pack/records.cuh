#pragma once

#include <type_traits>

#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/ptx/warp.cuh>
#include <rota/cuda/store/packed.cuh>

namespace rota::cuda {

/// One 16-byte chunk of elements of E from a row that starts at `row`, converted.
template <element E, element From>
ROTA_DEVICE ptx::chunk16 load_chunk(const From* row, int chunk) {
  constexpr int elements = chunk_bytes / static_cast<int>(sizeof(E));
  const From* const from = row + chunk * elements;
  if constexpr (std::is_same_v<E, From>) {
    return ptx::load(reinterpret_cast<const ptx::chunk16*>(from));
  } else {
    struct alignas(16) block {
      E values[elements];
    } out;
    ROTA_UNROLL
    for (int i = 0; i < elements; ++i)
      out.values[i] = static_cast<E>(static_cast<float>(ptx::load(from + i)));
    return bit_cast<ptx::chunk16>(out);
  }
}

/// Writes the records, a block each: index, keys, values.
template <element E, element From, class Swizzle>
struct records_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;

  struct arguments {
    pack_source<From> from;
    kept_rows kept;
    packed_shape shape;
    std::byte* data;
    std::uint32_t* fault;
  };

  /// What a block knows of its record.
  struct record {
    record_shape shape;
    index_t head, first, tokens;
    value_order order;
    record_layout at;
    std::byte* memory;
    // [record_tokens], starts one more
    ptx::shared_array<std::int32_t> source;
    ptx::shared_array<std::uint16_t> mask;
    ptx::shared_array<std::uint16_t> start;
  };

  static constexpr std::uint32_t shared_bytes =
      record_tokens * 4 + record_tokens * 2 + (record_tokens + 8) * 2;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const packed_parts to{a.data, a.shape.kv_heads};
    const index_t r = ptx::block_x(), h = ptx::block_y();
    const packed_head* const head = to.head(h);
    if (r >= static_cast<index_t>(ptx::load(&head->record_count))) return;
    record it;
    it.shape = a.shape.record;
    it.head = h;
    it.first = r * record_tokens;
    const index_t left = static_cast<index_t>(ptx::load(&head->tokens)) - it.first;
    it.tokens = left < record_tokens ? left : record_tokens;
    it.memory = a.data + ptx::load(to.record_offsets() + ptx::load(&head->first_record) + r);
    const ptx::shared_address base = ptx::shared_base();
    it.source.at = base;
    it.mask.at = base + record_tokens * 4;
    it.start.at = base + record_tokens * 6;
    read_index(a, it);
    ptx::sync_block();
    const index_t slices = it.start[static_cast<int>(it.tokens)];
    it.order = record_order(a.shape, it.tokens, slices);
    it.at = layout_record(it.shape, it.order, it.tokens, slices);
    write_index(a, it, slices);
    write_keys(a, it);
    if (it.order == value_order::whole)
      write_whole_values(a, it);
    else
      write_slices(a, it, slices);
  }

 private:
  /// Sources, masks and starts of the record's tokens, by the first warp.
  ROTA_DEVICE static void read_index(const arguments& a, const record& it) {
    if (ptx::warp_index() != 0) return;
    int before = 0;
    for (int half = 0; half < record_tokens; half += ptx::warp_threads) {
      const int j = half + static_cast<int>(ptx::lane_index());
      const bool real = j < it.tokens;
      const group_mask mask = real ? a.kept.mask(it.head, it.first + j) : group_mask{0};
      const int own = ptx::count_bits(mask);
      const int start = before + ptx::warp_exclusive_sum(own);
      it.source.set(j, real ? static_cast<std::int32_t>(a.kept.index(it.head, it.first + j)) : 0);
      it.mask.set(j, mask);
      it.start.set(j, static_cast<std::uint16_t>(start));
      before += ptx::warp_sum(own);
    }
    if (ptx::lane_index() == 0) it.start.set(record_tokens, static_cast<std::uint16_t>(before));
  }

  /// Header and index sections, the slack up to the keys zeroed.
  ROTA_DEVICE static void write_index(const arguments& a, const record& it, index_t slices) {
    auto* const halves = reinterpret_cast<std::uint16_t*>(it.memory);
    const int end = static_cast<int>(it.at.keys / 2);
    for (int i = static_cast<int>(ptx::thread_index()); i < end; i += threads)
      ptx::store(halves + i, index_half(a, it, slices, 2 * i));
  }

  /// The two bytes at offset `at` of the record.
  ROTA_DEVICE static std::uint16_t index_half(const arguments& a, const record& it, index_t slices,
                                              int at) {
    const int tokens = static_cast<int>(it.tokens);
    const auto half = [](std::uint64_t word, int byte) {
      return static_cast<std::uint16_t>(word >> (8 * byte));
    };
    if (at < 2) return static_cast<std::uint16_t>(tokens);
    if (at < 4) return static_cast<std::uint16_t>(it.order);
    if (at < 8) return half(static_cast<std::uint64_t>(slices), at - 4);
    if (at < 16) return half(static_cast<std::uint64_t>(it.at.bytes), at - 8);
    const int positions = static_cast<int>(it.at.positions);
    if (at < positions + 4 * tokens) {
      const int j = (at - positions) / 4;
      return half(static_cast<std::uint32_t>(a.from.position(it.source[j], it.head)),
                  (at - positions) % 4);
    }
    if (it.order == value_order::whole) return 0;
    const int masks = static_cast<int>(it.at.masks), starts = static_cast<int>(it.at.starts);
    if (at < masks + 2 * tokens) return it.mask[(at - masks) / 2];
    if (at < starts + 2 * (tokens + 1)) return it.start[(at - starts) / 2];
    return 0;
  }

  ROTA_DEVICE static ptx::chunk16* chunks_at(const record& it, index_t offset) {
    return reinterpret_cast<ptx::chunk16*>(it.memory + offset);
  }

  ROTA_DEVICE static void write_keys(const arguments& a, const record& it) {
    const int row = static_cast<int>(it.shape.key_bytes() / chunk_bytes);
    ptx::chunk16* const to = chunks_at(it, it.at.keys);
    for (int i = static_cast<int>(ptx::thread_index()); i < it.tokens * row; i += threads) {
      const int j = i / row, c = i % row;
      ptx::store(to + j * row + Swizzle::row_chunk(j, c, row),
                 load_chunk<E>(a.from.key(it.source[j], it.head), c));
    }
  }

  ROTA_DEVICE static void write_whole_values(const arguments& a, const record& it) {
    const int row = static_cast<int>(it.shape.value_bytes() / chunk_bytes);
    ptx::chunk16* const to = chunks_at(it, it.at.values);
    for (int i = static_cast<int>(ptx::thread_index()); i < it.tokens * row; i += threads) {
      const int j = i / row, c = i % row;
      ptx::store(to + j * row + Swizzle::row_chunk(j, c, row),
                 load_chunk<E>(a.from.value(it.source[j], it.head), c));
    }
  }

  ROTA_DEVICE static void write_slices(const arguments& a, const record& it, index_t slices) {
    const int slice = static_cast<int>(it.shape.slice_bytes() / chunk_bytes);
    const int row = slice * static_cast<int>(it.shape.groups());
    const int all = slice * static_cast<int>(slices);
    ptx::chunk16* const to = chunks_at(it, it.at.values);
    for (int i = static_cast<int>(ptx::thread_index()); i < it.tokens * row; i += threads) {
      const int j = i / row, c = i % row, group = c / slice;
      const unsigned mask = it.mask[j];
      if ((mask >> group & 1u) == 0) continue;
      const int rank = ptx::count_bits(mask & ((1u << group) - 1u));
      const int chunk = (it.start[j] + rank) * slice + c % slice;
      ptx::store(to + Swizzle::slice_chunk(chunk, all),
                 load_chunk<E>(a.from.value(it.source[j], it.head), c));
    }
  }
};

}  // namespace rota::cuda
