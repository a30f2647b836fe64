#pragma once

#include <rota/cuda/pack/measure.cuh>

namespace rota::cuda {

/// The header, the table of heads and the offsets of the records, by one block. It is the last that
/// can refuse: what it writes makes the store one.
template <element From>
struct tables_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  static constexpr int warps = threads / ptx::warp_threads;

  struct arguments {
    pack_source<From> from;
    kept_rows kept;
    packed_shape shape;
    index_t most_records;
    const std::uint64_t* ends;  ///< [kv_heads * most_records + 1]: bytes of the records before
    const std::uint32_t* slices;
    std::byte* data;
    index_t capacity_bytes;
    const std::int32_t* next_position;  ///< null: after the context's last
    std::int32_t swizzle;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static index_t records_of(const arguments& a, index_t h) {
    return (a.kept.count(h) + record_tokens - 1) / record_tokens;
  }

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    index_t records = 0;
    for (index_t h = 0; h < a.shape.kv_heads; ++h) records += records_of(a, h);
    const auto record_bytes =
        static_cast<index_t>(ptx::load(a.ends + a.shape.kv_heads * a.most_records));
    packed_header header = layout_packed(a.shape, records, record_bytes);
    header.reserved_word = a.swizzle;
    const std::int64_t after = after_last(a);
    const std::int64_t next =
        a.next_position != nullptr ? std::int64_t{ptx::load(a.next_position)} : after;
    header.next_position = static_cast<std::int32_t>(next);
    // Every thread comes to the same answer before anything is written.
    errc why = errc::ok;
    if (header.bytes > static_cast<std::uint64_t>(a.capacity_bytes)) why = errc::store_too_small;
    if (next < after || next > INT32_MAX - a.shape.tail_capacity) why = errc::bad_position;
    if (why != errc::ok) {
      if (ptx::thread_index() == 0) report(a.fault, why, culprit::store);
      return;
    }
    const packed_parts to{a.data, a.shape.kv_heads};
    if (ptx::thread_index() == 0) write_header(header, to.header());
    index_t first = 0;
    for (index_t h = 0; h < a.shape.kv_heads; ++h) {
      const index_t own = records_of(a, h);
      if (h % warps == ptx::warp_index()) write_head(a, h, first, own, to.head(h));
      for (index_t r = ptx::thread_index(); r < own; r += threads)
        ptx::store(to.record_offsets() + first + r,
                   header.records_at + ptx::load(a.ends + h * a.most_records + r));
      first += own;
    }
  }

 private:
  /// The position after the last of all heads.
  ROTA_DEVICE static std::int64_t after_last(const arguments& a) {
    std::int64_t after = 0;
    for (index_t h = 0; h < a.shape.kv_heads; ++h) {
      const index_t n = a.from.length(h, a.fault);
      const std::int64_t own = n > 0 ? std::int64_t{a.from.position(n - 1, h)} + 1 : 0;
      after = own > after ? own : after;
    }
    return after;
  }

  ROTA_DEVICE static void write_header(const packed_header& header, packed_header* to) {
    auto* const words = reinterpret_cast<std::uint64_t*>(to);
    const auto* const from = reinterpret_cast<const std::uint64_t*>(&header);
    ROTA_UNROLL
    for (unsigned i = 0; i < sizeof header / 8; ++i) ptx::store(words + i, from[i]);
  }

  ROTA_DEVICE static void write_head(const arguments& a, index_t h, index_t first, index_t own,
                                     packed_head* to) {
    unsigned slices = 0;
    for (index_t r = ptx::lane_index(); r < own; r += ptx::warp_threads)
      slices += ptx::load(a.slices + h * a.most_records + r);
    slices = ptx::warp_sum(slices);
    if (ptx::lane_index() != 0) return;
    ptx::store(&to->first_record, static_cast<std::uint64_t>(first));
    ptx::store(&to->record_count, static_cast<std::uint64_t>(own));
    ptx::store(&to->tokens, static_cast<std::uint64_t>(a.kept.count(h)));
    ptx::store(&to->slices, std::uint64_t{slices});
  }
};

}  // namespace rota::cuda
