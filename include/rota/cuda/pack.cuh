#pragma once

#include <algorithm>

#include <rota/core/workspace.hpp>
#include <rota/cuda/context.cuh>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/pack/codes.cuh>
#include <rota/cuda/pack/means.cuh>
#include <rota/cuda/pack/records.cuh>
#include <rota/cuda/pack/tables.cuh>
#include <rota/cuda/scan.cuh>
#include <rota/policy/context_memory.hpp>
#include <rota/store/packed_size.hpp>

namespace rota::cuda {

namespace detail {

/// What a context must carry for a fill with codes.
struct needs_codec {
  using needs = rota::needs<fill_codec>;
};

/// The arrays that packing needs for a while.
struct pack_scratch {
  index_t most_records = 0;        ///< of a head
  index_t mean_chunks = 0;         ///< of a head
  std::uint64_t* bytes = nullptr;  ///< [kv_heads * most_records + 1]
  std::uint32_t* slices = nullptr;
  double* sums = nullptr;  ///< [kv_heads, mean_chunks, d_v], where there are means
  std::int32_t* counts = nullptr;
  std::byte* scan = nullptr;
  std::size_t scan_bytes = 0;

  pack_scratch(carver& c, const backend& b, const packed_shape& shape, index_t most_tokens) {
    most_records = blocks_of(most_tokens, record_tokens);
    mean_chunks = shape.has_means ? blocks_of(most_tokens, mean_chunk_tokens) : 0;
    const index_t records = shape.kv_heads * most_records;
    bytes = c.take<std::uint64_t>(records + 1);
    slices = c.take<std::uint32_t>(records);
    sums = c.take<double>(shape.kv_heads * mean_chunks * shape.record.d_v);
    counts = c.take<std::int32_t>(shape.kv_heads * mean_chunks * shape.record.d_v);
    scan_bytes = exclusive_sum_bytes<std::uint64_t>(b, records + 1);
    scan = c.take<std::byte>(static_cast<index_t>(scan_bytes));
  }
};

/// Whether a kernel can pack in this shape, into a store of this type.
template <element E, int W>
status check_packable(const packed_shape& shape) {
  if (status s = check_shape(shape); !s) return s;
  if (shape.record.width != W || shape.record.sizes != codec_traits<E>::sizes ||
      shape.element_code != element_traits<E>::code || shape.record_tokens != record_tokens ||
      shape.order != value_order::token_major)
    return {errc::bad_shape, "shape"};
  if (shape.record.key_bytes() % chunk_bytes != 0) return {errc::unsupported, "d_k"};
  return {};
}

/// Whether something can be packed into the memory of a handle that holds no store yet.
template <element E, int W, class Swizzle>
status check_target(const backend& b, const packed_store<E, W, Swizzle>& store, const char* name) {
  if (store.data == nullptr) return {errc::null_view, name};
  if (store.capacity_bytes < 0) return {errc::store_too_small, name};
  if (reinterpret_cast<std::uintptr_t>(store.data) % record_alignment != 0)
    return {errc::bad_alignment, name};
  return check_memory(b, store.data, name);
}

/// What can be seen from the host.
template <element E, int W, class Swizzle, element From, class... Parts>
status check_pack(const backend& b, const packed_shape& shape, const context<From, Parts...>& ctx,
                  const selection& sel, const packed_store<E, W, Swizzle>& store, workspace ws) {
  if (status s = check_packable<E, W>(shape); !s) return s;
  if (shape.kv_heads != ctx.kv_heads() || shape.record.d_k != ctx.d_k() ||
      shape.record.d_v != ctx.d_v())
    return {errc::bad_shape, "shape"};
  if (status s = check_selection_memory(sel, ctx.kv_heads(), 0); !s) return s;
  if (status s = check_target(b, store, "store"); !s) return s;
  const named_memory uses[] = {{sel.indices.data, "selection.indices"},
                               {sel.masks.data, "selection.masks"},
                               {sel.counts.data, "selection.counts"},
                               {static_cast<const std::byte*>(ws.data), "ws"}};
  for (const named_memory& use : uses)
    if (status s = check_memory(b, use); !s) return s;
  const byte_range target(store.data, static_cast<std::size_t>(store.capacity_bytes));
  const byte_range scratch(ws.data, ws.bytes);
  const auto is_read = [&](const byte_range& r) {
    return touches(ctx, r) || overlaps(r, range_of(sel.indices)) ||
           overlaps(r, range_of(sel.masks)) || overlaps(r, range_of(sel.counts));
  };
  if (is_read(target) || overlaps(target, scratch)) return {errc::overlapping_memory, "store"};
  if (is_read(scratch)) return {errc::overlapping_memory, "ws"};
  return {};
}

/// The codec of a shape with codes, from a context that carries one.
template <element From, class... Parts>
status find_codec(const backend& b, const packed_shape& shape, const context<From, Parts...>& ctx,
                  codec_rows& codec) {
  if constexpr (provides<context<From, Parts...>, needs_codec>) {
    const fill_codec& c = ctx;
    if (shape.record.code_rank > 0) {
      if (status s = check_codec(c, shape.kv_heads, shape.record.code_rank, shape.record.d_v); !s)
        return s;
      if (status s = check_rows(b, c.encode, alignof(float), "encode"); !s) return s;
      if (status s = check_rows(b, c.decode, alignof(float), "decode"); !s) return s;
    }
    codec = codec_rows(c);
  } else if (shape.record.code_rank > 0) {
    return {errc::null_view, "encode"};
  }
  return {};
}

/// The kernels of packing, wherever the rows come from. `next_position`: in device memory, or null
/// for the one after the last.
template <element E, int W, class Swizzle, element From>
status pack_rows(const backend& b, const packed_shape& shape, const pack_source<From>& source,
                 const kept_rows& kept, const codec_rows& codec, const std::int32_t* next_position,
                 const packed_store<E, W, Swizzle>& store, const pack_scratch& m) {
  const index_t heads = shape.kv_heads;
  using measure = measure_kernel<From>;
  if (status s =
          launch<measure>(b, {blocks_of(m.most_records + 1, measure::records_a_block), heads},
                          {source, kept, shape, m.most_records, m.bytes, m.slices, b.fault});
      !s)
    return s;
  if (status s =
          exclusive_sum(b, m.bytes, m.bytes, heads * m.most_records + 1, m.scan, m.scan_bytes);
      !s)
    return s;
  if (status s = launch<tables_kernel<From>>(
          b, {1},
          {source, kept, shape, m.most_records, m.bytes, m.slices, store.data, store.capacity_bytes,
           next_position, Swizzle::code, b.fault});
      !s)
    return s;
  using records = records_kernel<E, From, Swizzle>;
  if (status s = launch<records>(b, {m.most_records, heads},
                                 {source, kept, shape, store.data, b.fault}, records::shared_bytes);
      !s)
    return s;
  if (shape.has_means) {
    if (status s =
            launch<mean_sums_kernel<From>>(b, {m.mean_chunks, heads},
                                           {source, kept, shape.record.d_v, shape.record.width,
                                            m.mean_chunks, m.sums, m.counts, b.fault});
        !s)
      return s;
    if (status s = launch<means_kernel>(b, {heads},
                                        {m.sums, m.counts, shape.record.d_v, m.mean_chunks,
                                         packed_parts{store.data, heads}, b.fault});
        !s)
      return s;
  }
  if (shape.record.code_rank > 0) {
    if (status s = launch<decoder_kernel<E>>(b, {heads}, {codec, shape, store.data, b.fault}); !s)
      return s;
    if (status s = launch<codes_kernel<E, From, Swizzle>>(
            b, {m.most_records, heads}, {source, kept, codec, shape, store.data, b.fault});
        !s)
      return s;
  }
  return {};
}

}  // namespace detail

/// Scratch bytes that pack() needs for a context of at most `most_tokens` tokens.
inline std::size_t pack_workspace_bytes(const backend& b, const packed_shape& shape,
                                        index_t most_tokens) {
  carver c;
  detail::pack_scratch(c, b, shape, most_tokens);
  return c.bytes();
}

/// Packs what `sel` keeps of a context into store.data, device memory of store.capacity_bytes
/// (packed_bytes_bound(shape, ctx.tokens()) is always enough), and fills in the handle. Keys and
/// values start on 16 bytes, and so do their rows.
///
/// On the device: store_too_small and bad_position ("store"), bad_selection ("selection"),
/// bad_count ("length"); the store is then untouched. The positions of a context are taken to
/// ascend. From the host: bad_shape, bad_alignment, wrong_memory, overlapping_memory,
/// workspace_too_small, unsupported ("d_k": not a multiple of 16 bytes), and of a shape with codes
/// null_view and bad_shape of "encode" and "decode".
template <element E, int W, class Swizzle, element From, class... Parts>
status pack(const backend& b, const packed_shape& shape, const context<From, Parts...>& ctx,
            const selection& sel, packed_store<E, W, Swizzle>& store, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_context_of(b, ctx); !s) return s;
  if (status s = detail::check_pack(b, shape, ctx, sel, store, ws); !s) return s;
  codec_rows codec;
  if (status s = detail::find_codec(b, shape, ctx, codec); !s) return s;
  carver from(ws);
  const detail::pack_scratch m(from, b, shape, ctx.tokens());
  if (status s = from.check(); !s) return s;

  if (status s = detail::pack_rows(b, shape, pack_source<From>(ctx), kept_rows(sel), codec, nullptr,
                                   store, m);
      !s)
    return s;
  store.shape = shape;
  store.most_tokens = ctx.tokens();
  return {};
}

}  // namespace rota::cuda
