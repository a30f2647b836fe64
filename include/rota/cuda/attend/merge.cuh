#pragma once

#include <rota/cuda/attend/kernel.cuh>

namespace rota::cuda {

/// Merges the partial results of one query row, in the order of the blocks, fills what was dropped,
/// and writes output and log-sum-exp. A block a (segment, row).
template <class Source, class Form>
struct merge_kernel {
  static constexpr int threads = Form::head;
  static constexpr int least_blocks = 4;
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
    constexpr int columns = Form::head + Form::extra_columns;
    const index_t row = ptx::block_x(), number = ptx::block_y();
    const auto& item = a.batch.items[number / a.batch.kv_heads];
    const index_t h = number % a.batch.kv_heads, token = row / a.batch.group;
    if (token >= item.queries) return;
    const index_t row_block = row / Form::rows, segments = a.batch.segments();
    const std::int64_t* const ends = a.ends + row_block * segments;
    const index_t total = ptx::load(ends + segments - 1);
    const index_t begin = number > 0 ? ptx::load(ends + number - 1) : 0;
    const index_t end = ptx::load(ends + number);
    // The blocks whose shares meet [begin, end); of those in between, some may have had nothing.
    const index_t first = end > begin ? last_at(begin, total, a.blocks) : 0;
    const index_t last = end > begin ? last_at(end - 1, total, a.blocks) : -1;
    const float* const slots =
        a.partials +
        (row_block * slots_of(a.blocks, segments) + number) * Form::rows * Form::partial_floats +
        row % Form::rows * Form::partial_floats;
    const auto for_each_part = [&](auto&& f) {
      for (index_t b = first; b <= last; ++b)
        if (share_begin(total, b, a.blocks) < share_begin(total, b + 1, a.blocks))
          f(slots + b * Form::rows * Form::partial_floats);
    };

    float top = ptx::minus_infinity;
    for_each_part([&](const float* part) {
      const float m = ptx::load(part + columns);
      top = m > top ? m : top;
    });
    const float base = top == ptx::minus_infinity ? 0.0f : top;
    const int column = static_cast<int>(ptx::thread_index());
    float sum = 0, out = 0;
    for_each_part([&](const float* part) {
      const float weight = ptx::exp2(ptx::load(part + columns) - base);
      sum += weight * ptx::load(part + columns + 1);
      out += weight * ptx::load(part + column);
      out += weight * filled(a, item, h, part + Form::head, column);
    });
    const index_t q_head = h * a.batch.group + row % a.batch.group;
    const index_t at = token * item.out_token + q_head * item.out_head + column;
    with_io(a.batch.io, [&](auto any) {
      store_rounded(static_cast<decltype(any)*>(item.out) + at, sum == 0 ? 0.0f : out / sum);
    });
    if (item.lse != nullptr && column == 0) {
      constexpr float ln2 = 0.69314718055994531f;
      ptx::store(item.lse + token * item.lse_token + q_head,
                 sum == 0 ? ptx::minus_infinity : (base + ptx::log2(sum)) * ln2);
    }
  }

 private:
  /// The last block that begins at or before `weight`.
  ROTA_DEVICE static index_t last_at(index_t weight, index_t total, index_t blocks) {
    return ((weight + 1) * blocks - 1) / total;
  }

  /// What a partial result's extra sums add to a column.
  template <class Item>
  ROTA_DEVICE static float filled(const arguments& a, const Item& item, index_t h,
                                  const float* extra, int column) {
    if constexpr (Form::fill != fill_sums::none) {
      if (Form::fill == fill_sums::dropped_weight && !a.has_means) return 0;
      const packed_parts parts = item.store.parts();
      const std::byte* const fill = parts.data + ptx::load(&parts.header()->fill_at);
      if constexpr (Form::fill == fill_sums::dropped_weight) {
        const float* const means = reinterpret_cast<const float*>(fill) + h * Form::head;
        return ptx::load(extra + column / Source::width) * ptx::load(means + column);
      } else {
        const E* const decoder = reinterpret_cast<const E*>(fill) + h * a.code_rank * Form::head;
        float sum = 0;
        for (index_t r = 0; r < a.code_rank; ++r)
          sum += ptx::load(extra + r) *
                 static_cast<float>(ptx::load(decoder + r * Form::head + column));
        return sum;
      }
    }
    return 0;
  }
};

}  // namespace rota::cuda
