#pragma once

#include <rota/cuda/ptx/math.cuh>
#include <rota/cuda/read_select/index.cuh>
#include <rota/cuda/select/cuts.cuh>

// The choice of pages: their bounds, the cut by a radix search over the bounds' keys, and the list.

namespace rota::cuda {

/// The score key of every page's bound. Eight lanes a page, so that they read 128 bytes at once;
/// queries come into shared memory, 16 rows at a time.
template <element E>
struct score_pages_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 4;
  static constexpr int lanes = 8;
  static constexpr int pages_a_block = threads / lanes;
  static constexpr int staged_rows = 16;
  static constexpr int rows_a_time = 4;  ///< share what is read of the index
  using chunk = element_chunk<E>;

  struct arguments {
    page_index_ref<E> index;
    const float* q;
    index_t q_token, q_head;  ///< strides
    index_t rows;             ///< query tokens times heads of a kv head
    index_t group;
    std::uint32_t* keys;  ///< [heads, capacity]
    std::uint32_t* fault;
  };

  static std::size_t shared_bytes(index_t d_k) {
    return sizeof(float) * static_cast<std::size_t>(staged_rows * d_k);
  }

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t h = ptx::block_y(), pages = a.index.list.count(h);
    if (pages < 0) report(a.fault, errc::bad_count, culprit::index);
    const index_t first = index_t{ptx::block_x()} * pages_a_block;
    if (first >= pages) return;
    const index_t own = first + ptx::thread_index() / lanes;
    const index_t page = own < pages ? own : pages - 1;  // any: its key is not stored
    float most = ptx::minus_infinity;
    for (index_t row = 0; row < a.rows; row += staged_rows) {
      ptx::sync_block();
      const int rows = stage(a, h, row);
      ptx::sync_block();
      for (int r = 0; r < rows; r += rows_a_time) raise(a, h, page, r, rows, most);
    }
    if (own < pages && ptx::thread_index() % lanes == 0)
      ptx::store(a.keys + h * a.index.list.capacity + own, score_key(most));
  }

 private:
  /// Copies up to 16 rows of queries; returns how many.
  ROTA_DEVICE static int stage(const arguments& a, index_t h, index_t first) {
    const int d = static_cast<int>(a.index.d_k);
    const int rows = static_cast<int>(a.rows - first < staged_rows ? a.rows - first : staged_rows);
    const ptx::shared_array<float> to{ptx::shared_base()};
    for (int i = static_cast<int>(ptx::thread_index()); i < rows * d; i += threads) {
      const index_t row = first + i / d;
      const float* const from =
          a.q + row / a.group * a.q_token + (h * a.group + row % a.group) * a.q_head;
      to.set(i, ptx::load(from + i % d));
    }
    return rows;
  }

  /// most = max over rows `first` .. of sum_c max(q_c * low_c, q_c * high_c). NaN stays.
  ROTA_DEVICE static void raise(const arguments& a, index_t h, index_t page, int first, int rows,
                                float& most) {
    const int d = static_cast<int>(a.index.d_k);
    const E* const low = a.index.low_row(h, page);
    const E* const high = a.index.high_row(h, page);
    const ptx::shared_array<float> q{ptx::shared_base()};
    float sums[rows_a_time] = {};
    for (int c = static_cast<int>(ptx::thread_index()) % lanes; c < d / chunk::size; c += lanes) {
      const chunk l = chunk::load(low, c), u = chunk::load(high, c);
      ROTA_UNROLL
      for (int r = 0; r < rows_a_time; ++r) {
        if (first + r >= rows) continue;
        ROTA_UNROLL
        for (int k = 0; k < chunk::size; ++k) {
          const float x = q[(first + r) * d + c * chunk::size + k];
          const float below = x * static_cast<float>(l.values[k]);
          const float above = x * static_cast<float>(u.values[k]);
          sums[r] += below != below || below > above ? below : above;
        }
      }
    }
    ROTA_UNROLL
    for (int r = 0; r < rows_a_time; ++r) {
      ROTA_UNROLL
      for (int step = 1; step < lanes; step *= 2) sums[r] += ptx::shuffle_xor(sums[r], step);
      if (first + r < rows) most = sums[r] > most || sums[r] != sums[r] ? sums[r] : most;
    }
  }
};

/// Writes the chosen pages of a head, ascending: a block a head.
struct choose_pages_kernel {
  static constexpr int threads = 512;
  static constexpr int least_blocks = 1;
  static constexpr int own_buckets = histogram_buckets / threads;
  // Buckets, the scan's words, what a digit was found to be.
  static constexpr std::uint32_t scan_at = histogram_buckets * 4;
  static constexpr std::uint32_t found_at = scan_at + threads / ptx::warp_threads * 4;
  static constexpr std::uint32_t shared_bytes = found_at + 16;

  struct arguments {
    page_list_ref from, to;
    const std::uint32_t* keys;  ///< [heads, from.capacity]
    index_t wanted;
    const std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t h = ptx::block_x(), pages = a.from.count(h);
    const index_t kept = pages < a.wanted ? pages : a.wanted;
    if (kept > 0) {
      // The last page is not asked.
      const std::uint32_t* const keys = a.keys + h * a.from.capacity;
      write(a, h, keys, pages - 1, find_cut(keys, pages - 1, kept - 1));
    }
    if (ptx::thread_index() != 0) return;
    if (kept > 0) a.to.set(h, kept - 1, a.from.page(h, pages - 1));
    ptx::store(a.to.counts + h, static_cast<std::int32_t>(kept));
  }

 private:
  /// The cut that keeps `quota` of the keys: digit by digit, highest first.
  ROTA_DEVICE static score_cut find_cut(const std::uint32_t* keys, index_t n, index_t quota) {
    const ptx::shared_array<std::uint32_t> buckets{ptx::shared_base()};
    const ptx::shared_array<std::uint32_t> found{ptx::shared_base() + found_at};
    score_cut cut;
    cut_search search = cut_search::begin(quota, n, cut);
    if (search.running == 0) return cut;
    const auto narrow = [&](const key_digit& digit) {
      for (int i = static_cast<int>(ptx::thread_index()); i < histogram_buckets; i += threads)
        buckets.set(i, 0);
      ptx::sync_block();
      const int above = digit.shift + digit.bits;
      const std::uint32_t digits = (1u << digit.bits) - 1u;
      for (index_t i = ptx::thread_index(); i < n; i += threads) {
        const std::uint32_t key = ptx::load(keys + i);
        // 64 bits wide: the first digit has nothing above it and shifts by all 32.
        if ((std::uint64_t{key} >> above) == search.prefix)
          ptx::shared_add(buckets.at + 4 * (key >> digit.shift & digits), 1);
      }
      ptx::sync_block();
      find_digit(search, digit, buckets, found);
      ptx::sync_block();
      search = {found[0], found[1], 1};
      cut = {found[0], found[1] == found[2] ? score_cut::all : found[1]};
    };
    // One by one: device code knows the values of the array, not the array.
    constexpr key_digit high = key_digits[0], middle = key_digits[1], low = key_digits[2];
    narrow(high);
    narrow(middle);
    narrow(low);
    return cut;
  }

  /// found = digits so far, items still missing, items of the bucket.
  ROTA_DEVICE static void find_digit(const cut_search& search, const key_digit& digit,
                                     ptx::shared_array<std::uint32_t> buckets,
                                     ptx::shared_array<std::uint32_t> found) {
    // Thread 0 has the highest buckets.
    const int top = histogram_buckets - 1 - static_cast<int>(ptx::thread_index()) * own_buckets;
    std::uint32_t sum = 0;
    for (int i = 0; i < own_buckets; ++i) sum += buckets[top - i];
    std::uint32_t before = block_exclusive_sum<threads>(sum, ptx::shared_base() + scan_at).before;
    for (int i = 0; i < own_buckets; ++i) {
      const std::uint32_t count = buckets[top - i];
      if (before < search.missing && search.missing <= before + count) {
        found.set(0, search.prefix << digit.bits | static_cast<std::uint32_t>(top - i));
        found.set(1, search.missing - before);
        found.set(2, count);
      }
      before += count;
    }
  }

  /// Each thread has a run of pages.
  ROTA_DEVICE static void write(const arguments& a, index_t h, const std::uint32_t* keys, index_t n,
                                const score_cut& cut) {
    const ptx::shared_address scratch = ptx::shared_base() + scan_at;
    const index_t own = (n + threads - 1) / threads;
    const index_t first = own * ptx::thread_index();
    const index_t last = first + own < n ? first + own : n;
    std::uint32_t ties = 0, kept = 0;
    for (index_t i = first; i < last; ++i) ties += ptx::load(keys + i) == cut.key;
    const std::uint32_t rank = block_exclusive_sum<threads>(ties, scratch).before;
    const auto for_kept = [&](auto&& f) {
      std::uint32_t at = rank;
      for (index_t i = first; i < last; ++i)
        if (cut.keeps(ptx::load(keys + i), at)) f(i);
    };
    for_kept([&](index_t) { ++kept; });
    index_t to = block_exclusive_sum<threads>(kept, scratch).before;
    for_kept([&](index_t i) { a.to.set(h, to++, a.from.page(h, i)); });
  }
};

}  // namespace rota::cuda
