#pragma once

#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/ptx/warp.cuh>
#include <rota/cuda/store/packed.cuh>

namespace rota::cuda {

/// Bytes of every record, one warp each, and whether the selection is sound. Nothing of the store
/// is written.
template <element From>
struct measure_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;
  static constexpr int records_a_block = threads / ptx::warp_threads;

  struct arguments {
    pack_source<From> from;
    kept_rows kept;
    packed_shape shape;
    index_t most_records;   ///< of a head
    std::uint64_t* bytes;   ///< [kv_heads * most_records + 1]; 0 where there is no record
    std::uint32_t* slices;  ///< [kv_heads * most_records]
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t r = index_t{ptx::block_x()} * records_a_block + ptx::warp_index();
    const index_t h = ptx::block_y();
    if (r == 0 && h == 0 && ptx::lane_index() == 0)
      ptx::store(a.bytes + a.shape.kv_heads * a.most_records, 0);
    const index_t n = a.from.length(h, a.fault);
    const index_t count = a.kept.count(h);
    if (count < 0 || count > a.kept.capacity || count > n) {
      report(a.fault, errc::bad_selection, culprit::selection);
      return;
    }
    if (r >= a.most_records) return;
    const index_t first = r * record_tokens;
    const index_t tokens = count - first < record_tokens ? count - first : record_tokens;
    int kept = 0;
    bool sound = true;
    for (index_t i = first + ptx::lane_index(); i < first + tokens; i += ptx::warp_threads) {
      const group_mask mask = a.kept.mask(h, i);
      kept += ptx::count_bits(mask);
      sound = sound && is_sound(a, h, i, mask, n);
    }
    kept = ptx::warp_sum(kept);
    if (ptx::any(!sound)) report(a.fault, errc::bad_selection, culprit::selection);
    if (ptx::lane_index() != 0) return;
    const index_t at = h * a.most_records + r;
    ptx::store(a.slices + at, static_cast<std::uint32_t>(kept));
    ptx::store(a.bytes + at, tokens > 0 ? record_size(a.shape, tokens, kept) : 0);
  }

  ROTA_DEVICE static std::uint64_t record_size(const packed_shape& s, index_t tokens,
                                               index_t slices) {
    const value_order order = record_order(s, tokens, slices);
    return static_cast<std::uint64_t>(layout_record(s.record, order, tokens, slices).bytes);
  }

  /// Ascending indices below n, masks of groups that exist.
  ROTA_DEVICE static bool is_sound(const arguments& a, index_t h, index_t i, group_mask mask,
                                   index_t n) {
    const index_t at = a.kept.index(h, i);
    if (at < 0 || at >= n || (i > 0 && a.kept.index(h, i - 1) >= at)) return false;
    group_mask allowed = full_mask(static_cast<int>(a.shape.record.groups()));
    if (a.from.available != nullptr)
      allowed &= ptx::load(a.from.available + h * a.from.available_head_stride + at);
    return (mask & ~allowed) == 0;
  }
};

}  // namespace rota::cuda
