#pragma once

#include <rota/cuda/fault.cuh>
#include <rota/cuda/normalize/items.cuh>

// Ranks inside a layer, from its sorted score keys. They are counts, so they are the CPU's bit for
// bit.

namespace rota::cuda {

/// Stands where a layer has no item: no float has this key, and it is behind all of them.
inline constexpr std::uint32_t no_item = UINT32_MAX;

/// The keys of a layer, a place for every score that its views hold: a block a chunk. NaN is no
/// item.
template <class Level>
struct item_keys_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;

  struct arguments {
    select_table table;
    index_t first_chunk;  ///< of the layer
    std::uint32_t* keys;  ///< [kv_heads, tokens, width]
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(a.first_chunk + ptx::block_x());
    const index_t first = c.first + index_t{ptx::thread_index()} * select_thread_tokens;
    const index_t room = c.layer.length.capacity;
    const int width = static_cast<int>(Level::width(c.layer.group_count));
    for (index_t i = first; i < first + select_thread_tokens && i < room; ++i) {
      const unsigned present = c.layer.is_ranked(i) ? Level::present(c, i) : 0;
      std::uint32_t* const keys = a.keys + (c.head * room + i) * width;
      for (int g = 0; g < width; ++g)
        ptx::store(keys + g,
                   (present >> g & 1u) != 0 ? key(ptx::load(Level::scores(c, i) + g)) : no_item);
    }
  }

 private:
  ROTA_DEVICE static std::uint32_t key(float x) { return x == x ? score_key(x) : no_item; }
};

/// Keys of an ascending array that are below `key`.
ROTA_DEVICE index_t count_below(const std::uint32_t* sorted, index_t n, std::uint32_t key) {
  index_t low = 0;
  while (n > low) {
    const index_t middle = (low + n) / 2;
    if (ptx::load(sorted + middle) < key)
      low = middle + 1;
    else
      n = middle;
  }
  return low;
}

/// Replaces the scores of a layer by their ranks in [0, 1]: a block a chunk. A lone item gets 0.5.
template <class Level>
struct rank_scores_kernel {
  static constexpr int threads = select_threads;
  static constexpr int least_blocks = 4;

  struct arguments {
    select_table table;
    index_t first_chunk;          ///< of the layer
    const std::uint32_t* sorted;  ///< [places]
    index_t places;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const select_chunk c = a.table.chunk(a.first_chunk + ptx::block_x());
    const index_t n = count_below(a.sorted, a.places, no_item);
    for_each_score<Level>(c, [&](float* score) {
      const float x = ptx::load(score);
      if (x != x) return;
      const std::uint32_t key = score_key(x);
      const index_t below = count_below(a.sorted, n, key);
      const index_t upto = below + count_below(a.sorted + below, n - below, key + 1);
      // Twice the rank is an integer: where it is exact in a double, so is the comparison of ranks.
      const double doubled = static_cast<double>(below + upto - 1);
      ptx::store(score,
                 n > 1 ? static_cast<float>(0.5 * doubled / static_cast<double>(n - 1)) : 0.5f);
    });
  }
};

}  // namespace rota::cuda
