#pragma once

#include <rota/cuda/ptx/warp.cuh>
#include <rota/cuda/store/rows.cuh>

// What attention reads of a store: for each kv head a run of tiles of up to 64 tokens. First come
// the sealed records of a packed store, one a tile, then whole rows.

namespace rota::cuda {

inline constexpr int tile_tokens = static_cast<int>(record_tokens);
/// Unit of the weights by which work is shared out.
inline constexpr index_t weight_bytes = 64;

/// The queries that a block answers at once, as far as they decide what is read.
struct sight {
  index_t first_position = 0, last_position = 0;  ///< of the queries
  index_t window = 0;                             ///< sliding, or 0

  /// Positions from which on, and before which, somebody sees something.
  ROTA_DEVICE index_t begin() const { return window > 0 ? first_position - window + 1 : 0; }
  ROTA_DEVICE index_t end() const { return last_position + 1; }
};

/// The tiles of one kv head of one store.
struct segment {
  index_t records = 0;        ///< sealed
  index_t from = 0, to = 0;   ///< of the whole rows; `from` starts a tile
  index_t record_weight = 0;  ///< bytes of the records, in units of weight_bytes
  index_t row_weight = 0;     ///< bytes of the rows

  ROTA_DEVICE index_t tiles() const {
    return records + (to - from + tile_tokens - 1) / tile_tokens;
  }
  ROTA_DEVICE index_t weight() const { return record_weight + row_weight; }

  /// Tile of the rows at which `weight` of them lie before it.
  ROTA_DEVICE index_t cut_rows(index_t weight) const {
    const index_t all = tiles() - records;
    return row_weight > 0 ? records + all * weight / row_weight : records;
  }
};

/// Whole rows [first_position, first_position + count) of which a sight sees some.
ROTA_DEVICE segment row_segment(index_t count, index_t first_position, index_t row_bytes,
                                const sight& see) {
  segment s;
  const index_t begin = see.begin() - first_position, end = see.end() - first_position;
  s.from = begin > 0 ? begin / tile_tokens * tile_tokens : 0;
  s.to = end < count ? end : count;
  if (s.to <= s.from) s.to = s.from;
  s.row_weight = ((s.to - s.from) * row_bytes + weight_bytes - 1) / weight_bytes;
  return s;
}

/// What attention reads of a dense or paged store. Rows is dense_rows or paged_rows.
template <class Rows>
struct row_source {
  using element_type = typename Rows::element_type;
  using swizzle = banked;
  static constexpr bool has_records = false;
  static constexpr bool has_pages = false;
  static constexpr bool in_bulk = false;  ///< whether sm_90 copies it so
  static constexpr int width = 0;
  Rows rows;

  ROTA_DEVICE bool is_sound(std::uint32_t*) const { return true; }
  ROTA_DEVICE bool is_head_sound(index_t, std::uint32_t*) const { return true; }
  ROTA_DEVICE index_t next_position(std::uint32_t* fault) const {
    return rows.first_position + rows.count(fault);
  }
  ROTA_DEVICE segment open(index_t, const sight& see, std::uint32_t* fault) const {
    const index_t bytes = (rows.d_k + rows.d_v) * static_cast<index_t>(sizeof(element_type));
    return row_segment(rows.count(fault), rows.first_position, bytes, see);
  }
  /// Number of the tile at which `weight` of the segment lies before it; by a whole warp.
  ROTA_DEVICE index_t cut(index_t, const segment& s, index_t weight) const {
    return s.cut_rows(weight);
  }
  ROTA_DEVICE index_t row_position(index_t i, std::uint32_t*) const {
    return rows.first_position + i;
  }
};

/// Bytes of a record, and where they begin in its store.
struct record_range {
  std::uint64_t begin = 0;
  std::uint32_t bytes = 0;
};

/// What attention reads of a packed store.
template <element E, int W, class Swizzle>
struct packed_source {
  using element_type = E;
  using swizzle = Swizzle;
  static constexpr bool has_records = true;
  static constexpr bool has_pages = false;
  static constexpr bool in_bulk = true;
  static constexpr int width = W;
  tail_rows<E> rows;
  index_t code_bytes = 0;
  std::int32_t code_rank = 0;
  bool has_means = false;

  packed_source() = default;
  explicit packed_source(const packed_store<E, W, Swizzle>& s)
      : rows(s),
        code_bytes(s.shape.record.code_bytes()),
        code_rank(static_cast<std::int32_t>(s.shape.record.code_rank)),
        has_means(s.shape.has_means) {}

  ROTA_DEVICE packed_parts parts() const { return {rows.data, rows.kv_heads}; }
  /// Whether the memory holds a store of this shape; else it is reported.
  ROTA_DEVICE bool is_sound(std::uint32_t* fault) const {
    const packed_header* const h = parts().header();
    const bool same = ptx::load(&h->width) == W && ptx::load(&h->reserved_word) == Swizzle::code &&
                      ptx::load(&h->element_code) == element_traits<E>::code &&
                      ptx::load(&h->code_rank) == code_rank &&
                      (ptx::load(&h->has_means) != 0) == has_means &&
                      ptx::load(&h->record_tokens) == record_tokens;
    if (!same) report(fault, errc::bad_store, culprit::store);
    return same && rows.count(fault) >= 0;
  }
  /// Whether what the memory says of head h can be: its records are of this store, all but the last
  /// full. Else it is reported. For stores that are sound.
  ROTA_DEVICE bool is_head_sound(index_t h, std::uint32_t* fault) const {
    const packed_head* const head = parts().head(h);
    const std::uint64_t all = ptx::load(&parts().header()->record_count);
    const std::uint64_t first = ptx::load(&head->first_record);
    const std::uint64_t records = ptx::load(&head->record_count);
    const std::uint64_t tokens = ptx::load(&head->tokens);
    constexpr std::uint64_t each = record_tokens;
    const auto groups = static_cast<std::uint64_t>(rows.d_v / W);
    const bool sound = all <= static_cast<std::uint64_t>(rows.store_bytes) / sizeof(all) &&
                       first <= all && records <= all - first && tokens <= records * each &&
                       (tokens + each - 1) / each == records &&
                       ptx::load(&head->slices) <= tokens * groups;
    if (!sound) report(fault, errc::bad_store, culprit::store);
    return sound;
  }
  ROTA_DEVICE index_t next_position(std::uint32_t*) const {
    return ptx::load(&parts().header()->next_position);
  }
  ROTA_DEVICE index_t row_position(index_t i, std::uint32_t* fault) const {
    return next_position(fault) - rows.count(fault) + i;
  }
  ROTA_DEVICE segment open(index_t h, const sight& see, std::uint32_t* fault) const {
    const index_t bytes = (rows.d_k + rows.d_v) * static_cast<index_t>(sizeof(E));
    const index_t count = rows.count(fault);
    segment s = row_segment(count, next_position(fault) - count, bytes, see);
    const packed_head* const head = parts().head(h);
    const auto tokens = static_cast<index_t>(ptx::load(&head->tokens));
    const auto slices = static_cast<index_t>(ptx::load(&head->slices));
    const index_t of_token = rows.d_k * static_cast<index_t>(sizeof(E)) + code_bytes + 8;
    const index_t of_slice = W * static_cast<index_t>(sizeof(E));
    s.records = static_cast<index_t>(ptx::load(&head->record_count));
    s.record_weight = (tokens * of_token + slices * of_slice + weight_bytes - 1) / weight_bytes;
    return s;
  }

  /// Where the record begins that is `i` records behind the head's first; the end of the last is
  /// where the next head's begin.
  ROTA_DEVICE std::uint64_t record_begin(index_t h, index_t i) const {
    const packed_header* const header = parts().header();
    const std::uint64_t number =
        ptx::load(&parts().head(h)->first_record) + static_cast<std::uint64_t>(i);
    return number < ptx::load(&header->record_count) ? ptx::load(parts().record_offsets() + number)
                                                     : ptx::load(&header->tail_keys_at);
  }

  /// Record i of head h, whose place has `room` bytes. None where the table of offsets says what
  /// cannot be, which is reported.
  ROTA_DEVICE record_range record(index_t h, index_t i, std::uint32_t room,
                                  std::uint32_t* fault) const {
    const std::uint64_t begin = record_begin(h, i), end = record_begin(h, i + 1);
    const bool sound = begin < end && end - begin <= room && (begin | end) % chunk_bytes == 0 &&
                       end <= ptx::load(&parts().header()->bytes);
    if (sound) return {begin, static_cast<std::uint32_t>(end - begin)};
    report(fault, errc::bad_store, culprit::store);
    return {};
  }

  /// The records are cut by their bytes, which pack() has summed up: a search among the offsets, 32
  /// at a time.
  ROTA_DEVICE index_t cut(index_t h, const segment& s, index_t weight) const {
    if (weight >= s.record_weight) return s.cut_rows(weight - s.record_weight);
    const std::uint64_t begin = record_begin(h, 0), end = record_begin(h, s.records);
    const std::uint64_t target = begin + (end - begin) * static_cast<std::uint64_t>(weight) /
                                             static_cast<std::uint64_t>(s.record_weight);
    index_t low = 0,
            high = s.records;  // the first record at or behind the target is in [low, high]
    while (high > low) {
      const index_t step = (high - low + ptx::warp_threads - 1) / ptx::warp_threads;
      const index_t probe = low + step * static_cast<index_t>(ptx::lane_index());
      const bool before = probe < high && record_begin(h, probe) < target;
      const int count = ptx::count_bits(ptx::ballot(before));  // the probes ascend
      if (count == 0) return low;
      low += step * (count - 1) + 1;
      const index_t last = low + step - 1;
      high = last < high ? last : high;
    }
    return low;
  }
};

}  // namespace rota::cuda
