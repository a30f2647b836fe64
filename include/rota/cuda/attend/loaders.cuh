#pragma once

#include <rota/cuda/attend/copy_rows.cuh>

// How tiles come into shared memory. A block has `stages` places for tiles; fetch() starts a tile
// into a place that all threads have left, wait() makes it readable for all. Both are called by all
// threads, in the order of the tiles.

namespace rota::cuda {

/// Whose turn it is among the places of a block's tiles.
struct stage_ring {
  int stages;
  int place = 0;        ///< of the next tile
  unsigned parity = 0;  ///< of its barrier's phase

  /// Place of the tile that is `later` tiles behind the next, fewer than there are stages.
  ROTA_DEVICE int after(int later) const {
    const int at = place + later;
    return at < stages ? at : at - stages;
  }
  ROTA_DEVICE void advance() {
    place = after(1);
    parity ^= place == 0 ? 1u : 0u;
  }
};

/// Rows of whole tokens in a stage: keys, then values.
struct row_places {
  std::uint32_t key_stride, value_stride;
  ROTA_DEVICE std::uint32_t values_at() const { return key_stride * tile_tokens; }
};

/// Every thread copies chunks of 16 bytes to where no two rows meet in a bank. Heads of `Head`
/// elements, keys and values. sm_80.
template <class Source, int Threads, int Head>
struct chunk_loader {
  using E = typename Source::element_type;
  static constexpr int chunks = Head * static_cast<int>(sizeof(E)) / chunk_bytes;  // of a row
  static_assert(Threads / ptx::warp_threads * warp_rows == tile_tokens);
  const Source& source;
  record_shape shape;

  ROTA_DEVICE static row_places places() { return {chunks * chunk_bytes, chunks * chunk_bytes}; }
  ROTA_DEVICE static int row_bits(std::uint32_t) { return banked::row_bits(chunks); }

  ROTA_DEVICE void fetch_record(ptx::shared_address to, int, const std::byte* from,
                                std::uint32_t bytes) const {
    for (std::uint32_t i = ptx::thread_index() * chunk_bytes; i < bytes; i += Threads * chunk_bytes)
      ptx::copy16_async(to + i, from + i);
    ptx::commit_copies();
  }

  /// Instead of a record that cannot be: one without tokens.
  ROTA_DEVICE void fetch_empty_record(ptx::shared_address to, int) const {
    if (ptx::thread_index() == 0) ptx::shared_store<std::uint32_t>(to, 0u);
    ptx::commit_copies();
  }

  /// Tokens `first` .. `first + tokens - 1` of the source's rows.
  ROTA_DEVICE void fetch_rows(ptx::shared_address to, int, index_t h, index_t first, int tokens,
                              std::uint32_t* fault) const {
    const row_places at = places();
    const tile_rows keys{to, at.key_stride, row_bits(at.key_stride)};
    const tile_rows values{to + at.values_at(), at.value_stride, row_bits(at.value_stride)};
    const int own = static_cast<int>(ptx::warp_index()) * warp_rows;
    copy_rows<chunks>(source.rows, h, first + own, tokens - own, keys.from(own), values.from(own),
                      fault);
    ptx::commit_copies();
  }

  /// Nothing to fetch: an empty group, so that wait() counts alike.
  ROTA_DEVICE void fetch_nothing() const { ptx::commit_copies(); }

  /// `later` tiles have been started after the awaited one (fetch_nothing() counts).
  template <int Later>
  ROTA_DEVICE void wait(int, unsigned) const {
    ptx::wait_copies<Later>();
    ptx::sync_block();
  }
};

/// One thread starts one copy of a whole record; rows are copied row by row, 16 bytes further apart
/// than they are long. sm_90.
template <class Source, int Threads>
struct bulk_loader {
  using E = typename Source::element_type;
  static constexpr std::uint32_t barrier_bytes = 8;

  const Source& source;
  record_shape shape;
  ptx::shared_address barriers = 0;

  ROTA_DEVICE row_places places() const {
    return {static_cast<std::uint32_t>(shape.key_bytes()) + chunk_bytes,
            static_cast<std::uint32_t>(shape.value_bytes()) + chunk_bytes};
  }
  ROTA_DEVICE int row_bits(std::uint32_t) const { return 0; }

  /// Once a block, before anything is fetched.
  ROTA_DEVICE static void start(ptx::shared_address barriers, int stages) {
    if (ptx::thread_index() == 0) {
      for (int i = 0; i < stages; ++i)
        ptx::barrier_init(barriers + static_cast<std::uint32_t>(i) * barrier_bytes, 1);
      ptx::barrier_fence();
    }
    ptx::sync_block();
  }

  ROTA_DEVICE void fetch_record(ptx::shared_address to, int stage, const std::byte* from,
                                std::uint32_t bytes) const {
    if (ptx::thread_index() != 0) return;
    ptx::fence_before_bulk();
    ptx::barrier_expect(barrier(stage), bytes);
    ptx::copy_bulk(to, from, bytes, barrier(stage));
  }

  /// The barrier's phase completes as with a record, so that nobody waits for ever.
  ROTA_DEVICE void fetch_empty_record(ptx::shared_address to, int stage) const {
    if (ptx::thread_index() != 0) return;
    ptx::shared_store<std::uint32_t>(to, 0u);
    ptx::barrier_expect(barrier(stage), 0);
  }

  ROTA_DEVICE void fetch_rows(ptx::shared_address to, int stage, index_t h, index_t first,
                              int tokens, std::uint32_t* fault) const {
    if (ptx::warp_index() != 0) return;
    const row_places at = places();
    const std::uint32_t key = at.key_stride - chunk_bytes, value = at.value_stride - chunk_bytes;
    if (ptx::lane_index() == 0) {
      ptx::fence_before_bulk();
      ptx::barrier_expect(barrier(stage), static_cast<std::uint32_t>(tokens) * (key + value));
    }
    ptx::sync_warp();
    for (int j = static_cast<int>(ptx::lane_index()); j < tokens; j += ptx::warp_threads) {
      const auto row = static_cast<std::uint32_t>(j);
      const row_pair<E> from = source.rows.row(h, first + j, fault);
      ptx::copy_bulk(to + row * at.key_stride, from.key, key, barrier(stage));
      ptx::copy_bulk(to + at.values_at() + row * at.value_stride, from.value, value,
                     barrier(stage));
    }
  }

  ROTA_DEVICE void fetch_nothing() const {}

  template <int Later>
  ROTA_DEVICE void wait(int stage, unsigned parity) const {
    ptx::barrier_wait(barrier(stage), parity);
    ptx::sync_warp();  // lanes may leave the wait apart; the matrix unit wants them together
  }

 private:
  ROTA_DEVICE ptx::shared_address barrier(int stage) const {
    return barriers + static_cast<std::uint32_t>(stage) * barrier_bytes;
  }
};

}  // namespace rota::cuda
