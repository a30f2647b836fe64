#pragma once

#include <rota/cuda/attend/page_loader.cuh>

namespace rota::cuda {

/// Adds up what attention copies of the chosen pages of all heads: one block.
template <class Source>
struct page_bytes_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  static constexpr std::uint32_t shared_bytes = threads * 8;

  struct arguments {
    page_source<Source> pages;
    record_shape shape;
    index_t heads;
    std::int64_t* bytes;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    if (ptx::sync_block_or(!a.pages.is_sound(a.fault))) return;
    std::int64_t own = 0;
    for (index_t h = 0; h < a.heads; ++h) {
      const index_t parts = a.pages.open(h, {}, a.fault).to / page_part_tokens;
      for (index_t i = ptx::thread_index(); i < parts; i += threads)
        own += part_bytes(a, h, i, parts);
    }
    const ptx::shared_array<std::int64_t> sums{ptx::shared_base()};
    const int thread = static_cast<int>(ptx::thread_index());
    sums.set(thread, own);
    if (failed(a.fault) || thread != 0) return;
    std::int64_t sum = 0;
    for (int t = 0; t < threads; ++t) sum += sums[t];
    ptx::store(a.bytes, sum);
  }

 private:
  ROTA_DEVICE static std::int64_t part_bytes(const arguments& a, index_t h, index_t i,
                                             index_t parts) {
    const page_part p = a.pages.part(h, i, parts, a.fault);
    if (p.count == 0) return 0;
    if constexpr (Source::has_records)
      if (p.in_record) {
        const std::byte* const record =
            a.pages.parts().data + a.pages.whole.record_begin(h, p.block);
        return runs_of(a.shape, record, record_head::at(record), p).bytes();
      }
    return p.count * (a.shape.key_bytes() + a.shape.value_bytes());
  }
};

}  // namespace rota::cuda
