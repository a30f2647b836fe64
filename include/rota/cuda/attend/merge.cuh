#pragma once

#include <rota/cuda/attend/kernel.cuh>

namespace rota::cuda {

/// Merges the partial results of one query row, in the order of the blocks, fills what was dropped,
/// and writes output and log-sum-exp. A block a (segment, row), a thread a column.
template <class Source, class Form>
struct merge_kernel {
  static constexpr int threads = Form::head;
  static constexpr int least_blocks = 4;
  static constexpr std::size_t shared_bytes = sizeof(float) * Form::extra_columns;
  static_assert(Form::extra_columns <= threads);
  using E = typename Source::element_type;

  struct arguments {
    attend_batch<Source> batch;
    const float* partials;
    const std::int64_t* ends;
    index_t blocks;     ///< that shared the work
    index_t code_rank;  ///< of a low-rank fill
    bool has_means;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t row = ptx::block_x(), number = ptx::block_y();
    const auto& item = a.batch.items[number / a.batch.kv_heads];
    const index_t h = number % a.batch.kv_heads, token = row / a.batch.group;
    if (token >= item.queries) return;
    const row_parts parts = parts_of(a, row, number);
    const float top = parts.top();
    const float base = top == ptx::minus_infinity ? 0.0f : top;
    const int column = static_cast<int>(ptx::thread_index());
    const row_sums sums = parts.add(base, column);
    const float out = sums.out + filled(a, item, h, sums.extra, column);
    const index_t q_head = h * a.batch.group + row % a.batch.group;
    const index_t at = token * item.out_token + q_head * item.out_head + column;
    with_io(a.batch.io, [&](auto any) {
      store_rounded(static_cast<decltype(any)*>(item.out) + at,
                    sums.weight == 0 ? 0.0f : out / sums.weight);
    });
    if (item.lse != nullptr && column == 0) {
      constexpr float ln2 = 0.69314718055994531f;
      ptx::store(item.lse + token * item.lse_token + q_head,
                 sums.weight == 0 ? ptx::minus_infinity : (base + ptx::log2(sums.weight)) * ln2);
    }
  }

 private:
  static constexpr int columns = Form::head + Form::extra_columns;

  /// Of a row: all weights, and one column of the values and of the extra sums.
  struct row_sums {
    float weight = 0, out = 0, extra = 0;
  };

  /// A row's partial results: those of blocks first .. last whose shares are not empty. Each lane
  /// looks at another block's, so that loads do not wait for each other.
  struct row_parts {
    const float* slots;
    index_t total, blocks;
    index_t first, last;
    bool all_work;  ///< whether no share is empty

    ROTA_DEVICE const float* part_of(index_t b) const {
      return slots + b * Form::rows * Form::partial_floats;
    }
    ROTA_DEVICE bool has(index_t b) const {
      if (b > last) return false;
      return all_work || share_begin(total, b, blocks) < share_begin(total, b + 1, blocks);
    }
    /// The row's largest logit.
    ROTA_DEVICE float top() const {
      float most = ptx::minus_infinity;
      for (index_t b = first + ptx::lane_index(); b <= last; b += ptx::warp_threads) {
        const float m = has(b) ? ptx::load(part_of(b) + columns) : ptx::minus_infinity;
        most = m > most ? m : most;
      }
      return ptx::warp_max(most);
    }
    /// Sums in the order of the blocks, relative to `base`.
    ROTA_DEVICE row_sums add(float base, int column) const {
      row_sums sums;
      for (index_t b = first; b <= last; b += ptx::warp_threads) {
        const index_t own = b + ptx::lane_index();
        const bool there = has(own);
        const float* const part = part_of(there ? own : first);
        const float weight = there ? ptx::exp2(ptx::load(part + columns) - base) : 0.0f;
        sums.weight += ptx::warp_sum(there ? weight * ptx::load(part + columns + 1) : 0.0f);
        add_columns(b, ptx::ballot(there), weight, column, sums);
      }
      return sums;
    }
    /// The column of those of blocks b .. b + 31 that are there; lane i has the weight of b + i.
    ROTA_DEVICE void add_columns(index_t b, unsigned there, float weight, int column,
                                 row_sums& sums) const {
      const index_t left = last - b + 1;
      const int count = static_cast<int>(left < ptx::warp_threads ? left : ptx::warp_threads);
      for (int i = 0; i < count; ++i) {
        const float w = ptx::shuffle(weight, i);
        if ((there >> i & 1u) == 0) continue;
        const float* const from = part_of(b + i);
        sums.out += w * ptx::load(from + column);
        if (column < Form::extra_columns) sums.extra += w * ptx::load(from + Form::head + column);
      }
    }
  };

  ROTA_DEVICE static row_parts parts_of(const arguments& a, index_t row, index_t number) {
    const index_t row_block = row / Form::rows, segments = a.batch.segments();
    const std::int64_t* const ends = a.ends + row_block * segments;
    row_parts p;
    p.total = ptx::load(ends + segments - 1);
    p.blocks = a.blocks;
    p.all_work = p.total >= p.blocks;
    const index_t begin = number > 0 ? ptx::load(ends + number - 1) : 0;
    const index_t end = ptx::load(ends + number);
    // The blocks whose shares meet [begin, end); of those in between, some may have had nothing.
    p.first = end > begin ? last_at(begin, p.total, p.blocks) : 0;
    p.last = end > begin ? last_at(end - 1, p.total, p.blocks) : -1;
    p.slots =
        a.partials +
        (row_block * slots_of(p.blocks, segments) + number) * Form::rows * Form::partial_floats +
        row % Form::rows * Form::partial_floats;
    return p;
  }

  /// The last block that begins at or before `weight`.
  ROTA_DEVICE static index_t last_at(index_t weight, index_t total, index_t blocks) {
    return ((weight + 1) * blocks - 1) / total;
  }

  /// What the extra sums add to a column. All threads of a block ask, each with one of the sums.
  template <class Item>
  ROTA_DEVICE static float filled(const arguments& a, const Item& item, index_t h, float extra,
                                  int column) {
    if constexpr (Form::fill != fill_sums::none) {
      if (Form::fill == fill_sums::dropped_weight && !a.has_means) return 0;
      const ptx::shared_array<float> extras{ptx::shared_base()};
      if (column < Form::extra_columns) extras.set(column, extra);
      ptx::sync_block();
      const packed_parts parts = item.store.parts();
      const std::byte* const fill = parts.data + ptx::load(&parts.header()->fill_at);
      if constexpr (Form::fill == fill_sums::dropped_weight) {
        const float* const means = reinterpret_cast<const float*>(fill) + h * Form::head;
        return extras[column / Source::width] * ptx::load(means + column);
      } else {
        const E* const decoder = reinterpret_cast<const E*>(fill) + h * a.code_rank * Form::head;
        float sum = 0;
        for (int r = 0; r < static_cast<int>(a.code_rank); ++r)
          sum +=
              extras[r] * static_cast<float>(ptx::load(decoder + index_t{r} * Form::head + column));
        return sum;
      }
    }
    return 0;
  }
};

}  // namespace rota::cuda
