#pragma once

#include <type_traits>

#include <rota/core/workspace.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/cpu/pack/codes.hpp>
#include <rota/cpu/pack/means.hpp>
#include <rota/cpu/pack/record_writer.hpp>
#include <rota/policy/context_memory.hpp>
#include <rota/store/packed_size.hpp>

namespace rota::cpu {

/// What packing may be told beyond the selection.
struct pack_options {
  /// [kv_heads, d_v]: the stand-ins of dropped groups, when they are those of a larger selection
  /// of which this is a part. Null: computed from this selection.
  view<const float, 2> means;
  /// Position of the next token to be appended; -1 means after the context's last.
  std::int64_t next_position = -1;
  /// Of a shape with a code_rank; taken from the context where it carries one.
  fill_codec codec = {};
};

namespace detail {

/// What a context must carry for a fill with codes.
struct needs_codec {
  using needs = rota::needs<fill_codec>;
};

/// The arrays that packing needs for a while.
struct pack_scratch {
  index_t* first_record = nullptr;  ///< [kv_heads + 1]
  double* sums = nullptr;           ///< [kv_heads, d_v], only where means are computed

  pack_scratch(carver& c, const packed_shape& shape, const pack_options& options) {
    first_record = c.take<index_t>(shape.kv_heads + 1);
    if (shape.has_means && options.means.data == nullptr)
      sums = c.take<double>(shape.kv_heads * shape.record.d_v);
  }
};

template <class Sources>
status check_masks_available(const Sources& sources, const selection& sel) {
  for (index_t h = 0; h < sel.kv_heads(); ++h) {
    const auto source = sources(h);
    if (source.available == nullptr) continue;
    for (index_t i = 0; i < sel.counts(h); ++i)
      if ((sel.masks(h, i) & ~source.available[sel.indices(h, i)]) != 0)
        return {errc::bad_selection, "selection.masks"};
  }
  return {};
}

/// Writes header, head table and record offsets; returns through `first_record` where each head's
/// records begin.
inline void write_tables(const packed_shape& shape, const selection& sel,
                         const packed_header& header, std::byte* memory, index_t* first_record) {
  std::memset(memory, 0, header.records_at);
  std::memcpy(memory, &header, sizeof header);
  auto* heads = reinterpret_cast<packed_head*>(memory + sizeof header);
  auto* offsets = reinterpret_cast<std::uint64_t*>(heads + shape.kv_heads);
  std::uint64_t at = header.records_at;
  index_t number = 0;
  for (index_t h = 0; h < shape.kv_heads; ++h) {
    const index_t count = sel.counts(h);
    first_record[h] = number;
    heads[h].first_record = static_cast<std::uint64_t>(number);
    heads[h].tokens = static_cast<std::uint64_t>(count);
    for (index_t first = 0; first < count; first += shape.record_tokens) {
      const index_t last = std::min(first + shape.record_tokens, count);
      const index_t slices = count_slices(sel, h, first, last);
      offsets[number++] = at;
      at += static_cast<std::uint64_t>(record_bytes(shape, last - first, slices));
      heads[h].slices += static_cast<std::uint64_t>(slices);
    }
    heads[h].record_count = static_cast<std::uint64_t>(number - first_record[h]);
  }
  first_record[shape.kv_heads] = number;
}

/// Packs rows from `sources(h)` (a head_rows for each kv head). All has been checked.
template <codec E, int W, class Sources>
void write_store(const backend& b, const packed_shape& shape, const Sources& sources,
                 const selection& sel, const pack_options& options, const packed_header& header,
                 std::byte* memory, const pack_scratch& scratch) {
  write_tables(shape, sel, header, memory, scratch.first_record);
  if (shape.has_means) {
    auto* means = reinterpret_cast<float*>(memory + header.fill_at);
    parallel_for(b, shape.kv_heads, [&](index_t h, int) {
      float* row = means + h * shape.record.d_v;
      if (options.means.data != nullptr)
        std::memcpy(row, options.means.row(h), sizeof(float) * shape.record.d_v);
      else
        mean_of_dropped(shape, sources(h), sel, h, scratch.sums + h * shape.record.d_v, row);
    });
  }
  auto* const decoders = reinterpret_cast<code_type_of<E>*>(memory + header.fill_at);
  const index_t decoder_size = shape.record.code_rank * shape.record.d_v;
  if (shape.record.code_rank > 0)
    for (index_t h = 0; h < shape.kv_heads; ++h)
      write_decoder(options.codec, h, decoders + h * decoder_size);
  const auto* offsets = reinterpret_cast<const std::uint64_t*>(
      memory + sizeof header + sizeof(packed_head) * static_cast<std::size_t>(shape.kv_heads));
  parallel_for(b, scratch.first_record[shape.kv_heads], [&](index_t number, int) {
    index_t h = 0;
    while (scratch.first_record[h + 1] <= number) ++h;
    const index_t first = (number - scratch.first_record[h]) * shape.record_tokens;
    const index_t last = std::min(first + shape.record_tokens, index_t{sel.counts(h)});
    const auto rows = sources(h);
    write_record<E, W>(shape, rows, sel, h, first, last, memory + offsets[number]);
    if (shape.record.code_rank > 0)
      write_codes<E, W>(
          shape,
          residual_rows(rows, shape.record, options.codec, h,
                        static_cast<const code_type_of<E>*>(decoders + h * decoder_size)),
          sel, h, first, last, memory + offsets[number]);
  });
}

/// The part of packing that is the same wherever the rows come from: `sources(h)` gives the
/// head_rows that row h of a valid selection points into.
template <codec E, int W, class Sources>
status pack_rows(const backend& b, const packed_shape& shape, const Sources& sources,
                 const selection& sel, const pack_options& options, packed_store<E, W>& store,
                 workspace ws) {
  if (options.next_position > INT32_MAX - shape.tail_capacity)
    return {errc::bad_position, "next_position"};
  if (const index_t rank = shape.record.code_rank; rank > 0)
    if (status s = check_codec(options.codec, shape.kv_heads, rank, shape.record.d_v); !s) return s;
  const packed_size size = measure_packed(shape, sel);
  packed_header header = layout_packed(shape, size.record_count, size.record_bytes);
  header.next_position = static_cast<std::int32_t>(options.next_position);
  if (status s = check_store_memory(store.data, store.capacity_bytes, header); !s) return s;
  if (overlaps(byte_range(store.data, header.bytes), byte_range(ws.data, ws.bytes)))
    return {errc::overlapping_memory, "store"};
  carver c(ws);
  const pack_scratch scratch(c, shape, options);
  if (status s = c.check(); !s) return s;
  write_store<E, W>(b, shape, sources, sel, options, header, store.data, scratch);
  return {};
}

}  // namespace detail

/// Scratch bytes that pack() needs.
inline std::size_t pack_workspace_bytes(const backend&, const packed_shape& shape,
                                        const pack_options& options = {}) {
  carver c;
  detail::pack_scratch(c, shape, options);
  return c.bytes();
}

/// The same: it does not depend on how long a context is.
inline std::size_t pack_workspace_bytes(const backend& b, const packed_shape& shape, index_t) {
  return pack_workspace_bytes(b, shape);
}

/// Packs what `sel` keeps of a context into `store.data`, which the caller has sized by
/// packed_bytes(shape, sel) and aligned to record_alignment. Nothing is written on error.
/// store_too_small: capacity_bytes is less than that; bad_shape and null_view of "encode" and
/// "decode": a shape with codes, and a codec that is not of it.
template <codec E, int W, element From, class... Parts>
status pack(const backend& b, const packed_shape& shape, const context<From, Parts...>& ctx,
            const selection& sel, packed_store<E, W>& store, workspace ws,
            const pack_options& options = {}) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_context(ctx); !s) return s;
  if (status s = check_shape(shape); !s) return s;
  if (shape.kv_heads != ctx.kv_heads() || shape.record.d_k != ctx.d_k() ||
      shape.record.d_v != ctx.d_v() || shape.record.width != W ||
      shape.record.sizes != codec_traits<E>::sizes || shape.element_code != codec_traits<E>::code)
    return {errc::bad_shape, "shape"};
  const int groups = static_cast<int>(shape.record.groups());
  if (status s = check_selection(sel, ctx.kv_heads(), ctx.tokens(), groups); !s) return s;
  const auto sources = [&](index_t h) { return rows_of(ctx, h); };
  if (status s = detail::check_masks_available(sources, sel); !s) return s;
  if (options.means.data != nullptr &&
      (options.means.extent[0] != shape.kv_heads || options.means.extent[1] != shape.record.d_v))
    return {errc::bad_shape, "means"};

  const byte_range target(store.data,
                          static_cast<std::size_t>(std::max<index_t>(0, store.capacity_bytes)));
  const byte_range scratch(ws.data, ws.bytes);
  const auto read_by_pack = [&](const byte_range& r) {
    return touches(ctx, r) || overlaps(r, range_of(sel.indices)) ||
           overlaps(r, range_of(sel.masks)) || overlaps(r, range_of(sel.counts)) ||
           overlaps(r, range_of(options.means)) || overlaps(r, range_of(options.codec.encode)) ||
           overlaps(r, range_of(options.codec.decode));
  };
  if (read_by_pack(target)) return {errc::overlapping_memory, "store"};
  if (read_by_pack(scratch)) return {errc::overlapping_memory, "ws"};

  pack_options known = options;
  if constexpr (provides<context<From, Parts...>, detail::needs_codec>) known.codec = ctx;
  const index_t n = ctx.tokens();
  const std::int64_t after = n > 0 ? std::int64_t{ctx.position(n - 1)} + 1 : 0;
  if (known.next_position < 0) known.next_position = after;
  if (known.next_position < after) return {errc::bad_position, "next_position"};
  return detail::pack_rows<E>(b, shape, sources, sel, known, store, ws);
}

}  // namespace rota::cpu
