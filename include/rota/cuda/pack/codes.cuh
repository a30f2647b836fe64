#pragma once

#include <rota/cuda/pack/records.cuh>
#include <rota/fill/low_rank.hpp>

// The codes and residuals of a low-rank fill (fill/low_rank.hpp), made of records that have been
// written.

namespace rota::cuda {

/// A codec as kernels read it: rows are contiguous.
struct codec_rows {
  const float* encode = nullptr;  ///< A
  const float* decode = nullptr;  ///< B transposed
  index_t encode_head_stride = 0, encode_row_stride = 0;
  index_t decode_head_stride = 0, decode_row_stride = 0;

  codec_rows() = default;
  explicit codec_rows(const fill_codec& c)
      : encode(c.encode.data),
        decode(c.decode.data),
        encode_head_stride(c.encode.stride[0]),
        encode_row_stride(c.encode.stride[1]),
        decode_head_stride(c.decode.stride[0]),
        decode_row_stride(c.decode.stride[1]) {}
};

/// Writes B, rounded to the store's element, a block a head.
template <element E>
struct decoder_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;

  struct arguments {
    codec_rows codec;
    packed_shape shape;
    std::byte* data;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t h = ptx::block_x(), d_v = a.shape.record.d_v;
    const packed_parts to{a.data, a.shape.kv_heads};
    const index_t size = a.shape.record.code_rank * d_v;
    E* const out = reinterpret_cast<E*>(a.data + ptx::load(&to.header()->fill_at)) + h * size;
    for (index_t i = ptx::thread_index(); i < size; i += threads)
      ptx::store(out + i, static_cast<E>(ptx::load(a.codec.decode + h * a.codec.decode_head_stride +
                                                   i / d_v * a.codec.decode_row_stride + i % d_v)));
  }
};

/// Codes of a record's tokens, and in place of the values their residuals; a block a record. Whole
/// records stay as they are.
template <element E, element From, class Swizzle>
struct codes_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 2;

  struct arguments {
    pack_source<From> from;
    kept_rows kept;
    codec_rows codec;
    packed_shape shape;
    std::byte* data;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const packed_parts to{a.data, a.shape.kv_heads};
    const index_t r = ptx::block_x(), h = ptx::block_y();
    const packed_head* const head = to.head(h);
    if (r >= static_cast<index_t>(ptx::load(&head->record_count))) return;
    std::byte* const memory =
        a.data + ptx::load(to.record_offsets() + ptx::load(&head->first_record) + r);
    const auto* const own = reinterpret_cast<const record_header*>(memory);
    const index_t tokens = ptx::load(&own->tokens), slices = ptx::load(&own->slices);
    const auto order = static_cast<value_order>(ptx::load(&own->order));
    if (order == value_order::whole) return;
    const record_layout at = layout_record(a.shape.record, order, tokens, slices);
    const index_t first = r * record_tokens;
    E* const codes = reinterpret_cast<E*>(memory + at.codes);
    encode(a, h, first, tokens, codes);
    ptx::sync_block();
    const auto* const starts = reinterpret_cast<const std::uint16_t*>(memory + at.starts);
    write_residuals(a, h, first, tokens, codes, starts, slices,
                    reinterpret_cast<E*>(memory + at.values));
  }

 private:
  /// code = A (M v), rounded to the element; 0 where nothing is dropped. A thread a number.
  ROTA_DEVICE static void encode(const arguments& a, index_t h, index_t first, index_t tokens,
                                 E* codes) {
    const record_shape& s = a.shape.record;
    const group_mask all = full_mask(static_cast<int>(s.groups()));
    for (index_t i = ptx::thread_index(); i < tokens * s.code_rank; i += threads) {
      const index_t j = i / s.code_rank, r = i % s.code_rank;
      const group_mask mask = a.kept.mask(h, first + j);
      const From* const value = a.from.value(a.kept.index(h, first + j), h);
      const float* const row =
          a.codec.encode + h * a.codec.encode_head_stride + r * a.codec.encode_row_stride;
      float sum = 0;
      for (index_t c = 0; c < s.d_v && mask != all; ++c)
        if ((mask >> (c / s.width) & 1) != 0)
          sum += ptx::load(row + c) * static_cast<float>(ptx::load(value + c));
      ptx::store(codes + i, static_cast<E>(sum));
    }
  }

  /// v - B code of each kept channel. B as the store keeps it.
  ROTA_DEVICE static void write_residuals(const arguments& a, index_t h, index_t first,
                                          index_t tokens, const E* codes,
                                          const std::uint16_t* starts, index_t slices, E* values) {
    const record_shape& s = a.shape.record;
    const packed_parts to{a.data, a.shape.kv_heads};
    const E* const decoder = reinterpret_cast<const E*>(a.data + ptx::load(&to.header()->fill_at)) +
                             h * s.code_rank * s.d_v;
    const int elements = chunk_bytes / static_cast<int>(sizeof(E));
    const int slice = static_cast<int>(s.slice_bytes() / chunk_bytes);
    for (index_t i = ptx::thread_index(); i < tokens * s.d_v; i += threads) {
      const index_t j = i / s.d_v, c = i % s.d_v, group = c / s.width;
      const unsigned mask = a.kept.mask(h, first + j);
      if ((mask >> group & 1u) == 0) continue;
      float rebuilt = 0;
      for (index_t r = 0; r < s.code_rank; ++r)
        rebuilt += static_cast<float>(ptx::load(codes + j * s.code_rank + r)) *
                   static_cast<float>(ptx::load(decoder + r * s.d_v + c));
      const int rank = ptx::count_bits(mask & ((1u << group) - 1u));
      const int within = static_cast<int>(c % s.width);
      const int chunk = (ptx::load(starts + j) + rank) * slice + within / elements;
      const float value =
          static_cast<float>(ptx::load(a.from.value(a.kept.index(h, first + j), h) + c));
      ptx::store(values + Swizzle::slice_chunk(chunk, slice * static_cast<int>(slices)) * elements +
                     within % elements,
                 static_cast<E>(value - rebuilt));
    }
  }
};

}  // namespace rota::cuda
