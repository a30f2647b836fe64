#pragma once

#include <rota/cuda/attend/copy_rows.cuh>
#include <rota/cuda/attend/page_source.cuh>

// How parts of pages come into shared memory: a tile has a place for each of its four parts, which
// a warp fills by copies of 16 bytes. Of a record only what belongs to the part is copied, in runs
// that begin and end on 16 bytes (slices: on 128, inside which the banked order mixes them).

namespace rota::cuda {

/// Bytes [begin, begin + bytes) of a record.
struct record_run {
  std::uint32_t begin = 0, bytes = 0;

  /// The run of whole `unit`s that covers [begin, end), not beyond `limit`.
  ROTA_DEVICE static record_run around(index_t begin, index_t end, index_t unit, index_t origin,
                                       index_t limit) {
    const index_t from = (begin - origin) / unit * unit + origin;
    const index_t to = (end - origin + unit - 1) / unit * unit + origin;
    return {static_cast<std::uint32_t>(from),
            static_cast<std::uint32_t>((to < limit ? to : limit) - from)};
  }
};

/// What attention reads of a part of a record.
struct record_part {
  record_run head, positions, masks, starts, keys, codes, values;

  ROTA_DEVICE std::uint32_t bytes() const {
    return head.bytes + positions.bytes + masks.bytes + starts.bytes + keys.bytes + codes.bytes +
           values.bytes;
  }
};

/// The runs of a part of the record at `record`.
ROTA_DEVICE record_part runs_of(const record_shape& shape, const std::byte* record,
                                const record_head& head, const page_part& p) {
  const record_layout at = layout_record(shape, head.order, head.tokens, head.slices);
  const index_t first = p.first, last = first + p.count;
  const auto around = [](index_t begin, index_t end) {
    return record_run::around(begin, end, chunk_bytes, 0, INT32_MAX);
  };
  const auto rows = [&](index_t offset, index_t row) {
    return around(offset + first * row, offset + last * row);
  };
  record_part r;
  r.head = around(0, sizeof(record_header));
  r.positions = rows(at.positions, 4);
  r.keys = rows(at.keys, shape.key_bytes());
  if (head.order == value_order::whole) {
    r.values = rows(at.values, shape.value_bytes());
    return r;
  }
  r.masks = rows(at.masks, 2);
  r.starts = around(at.starts + first * 2, at.starts + (last + 1) * 2);
  if (shape.code_rank > 0) r.codes = rows(at.codes, shape.code_bytes());
  const auto* const starts = reinterpret_cast<const std::uint16_t*>(record + at.starts);
  const index_t slice = shape.slice_bytes();
  r.values = record_run::around(
      at.values + ptx::load(starts + first) * slice, at.values + ptx::load(starts + last) * slice,
      bank_chunks * chunk_bytes, at.values, at.values + head.slices * slice);
  return r;
}

/// Where things lie in the place of a part: what is in it, a record's header and index, keys,
/// codes, values.
struct part_place {
  static constexpr std::uint32_t header = 16, positions = 32, masks = 96, starts = 144, keys = 192;
  static constexpr index_t slack = 2 * (bank_chunks - 1) * chunk_bytes;

  ROTA_HD static std::uint32_t codes(const record_shape& s) {
    return keys + static_cast<std::uint32_t>(page_part_tokens * s.key_bytes());
  }
  ROTA_HD static std::uint32_t values(const record_shape& s) {
    return codes(s) + static_cast<std::uint32_t>(page_part_tokens * s.code_bytes());
  }
  ROTA_HD static std::uint32_t value_room(const record_shape& s) {
    return static_cast<std::uint32_t>(page_part_tokens * s.value_bytes() + slack);
  }
  ROTA_HD static std::uint32_t bytes(const record_shape& s) { return values(s) + value_room(s); }
};

/// Fetches tiles of a page_source; wait() and fetch_nothing() are chunk_loader's.
template <class Source, int Threads, int Head>
struct page_loader {
  using E = typename Source::element_type;
  using swizzle = typename Source::swizzle;
  static_assert(Threads == tile_parts * ptx::warp_threads && page_part_tokens <= warp_rows);
  const Source& source;
  record_shape shape;

  static std::uint32_t stage_bytes(const record_shape& s) {
    return part_place::bytes(s) * tile_parts;
  }

  ROTA_DEVICE void fetch_pages(ptx::shared_address stage, index_t h, const segment& seg,
                               index_t tile, std::uint32_t* fault) const {
    const int warp = static_cast<int>(ptx::warp_index());
    const ptx::shared_address to = place(stage, warp);
    page_part p = source.part(h, tile * tile_parts + warp, seg.to / page_part_tokens, fault);
    if (p.count > 0) {
      if (p.in_record)
        fetch_record_part(to, h, p, fault);
      else
        fetch_rows(to, h, p, fault);
    }
    if (ptx::lane_index() == 0) {
      const ptx::shared_array<std::int32_t> head{to};
      head.set(0, p.count);
      head.set(1, p.in_record ? p.first : -1);
      head.set(2, p.in_record || p.count == 0
                      ? 0
                      : static_cast<std::int32_t>(source.whole.row_position(p.row, fault)));
    }
    ptx::commit_copies();
  }

  ROTA_DEVICE void fetch_nothing() const { ptx::commit_copies(); }

  template <int Later>
  ROTA_DEVICE void wait(int, unsigned) const {
    ptx::wait_copies<Later>();
    ptx::sync_block();
  }

  /// The view of one part of a tile that has come.
  ROTA_DEVICE tile_view<swizzle> view_part(ptx::shared_address stage, int part) const {
    const ptx::shared_address at = place(stage, part);
    const ptx::shared_array<std::int32_t> head{at};
    tile_view<swizzle> v;
    v.tokens = head[0];
    if (v.tokens == 0) return v;
    const int first = head[1];
    if constexpr (Source::has_records)
      if (first >= 0) {
        view_record_part(at, first, v);
        return v;
      }
    v.keys = {at + part_place::keys, key_bytes(), row_bits<banked>(key_bytes())};
    v.values = {at + part_place::values(shape), value_bytes(), row_bits<banked>(value_bytes())};
    v.first_position = head[2];
    return v;
  }

 private:
  ROTA_DEVICE std::uint32_t key_bytes() const {
    return static_cast<std::uint32_t>(shape.key_bytes());
  }
  ROTA_DEVICE std::uint32_t value_bytes() const {
    return static_cast<std::uint32_t>(shape.value_bytes());
  }
  template <class Order>
  ROTA_DEVICE static int row_bits(std::uint32_t row) {
    return Order::row_bits(static_cast<int>(row) / chunk_bytes);
  }
  ROTA_DEVICE ptx::shared_address place(ptx::shared_address stage, int part) const {
    return stage + static_cast<std::uint32_t>(part) * part_place::bytes(shape);
  }

  ROTA_DEVICE void fetch_rows(ptx::shared_address to, index_t h, const page_part& p,
                              std::uint32_t* fault) const {
    constexpr int chunks = Head * static_cast<int>(sizeof(E)) / chunk_bytes;
    copy_rows<chunks>(
        source.whole.rows, h, p.row, p.count,
        {to + part_place::keys, key_bytes(), row_bits<banked>(key_bytes())},
        {to + part_place::values(shape), value_bytes(), row_bits<banked>(value_bytes())}, fault);
  }

  /// Nothing, and a report, where the record is not what the store says.
  ROTA_DEVICE void fetch_record_part(ptx::shared_address to, index_t h, page_part& p,
                                     std::uint32_t* fault) const {
    if constexpr (Source::has_records) {
      const record_range at = source.whole.record(h, p.block, UINT32_MAX, fault);
      if (at.bytes == 0) {
        p.count = 0;
        return;
      }
      const std::byte* const record = source.parts().data + at.begin;
      const record_head head = record_head::at(record);
      bool sound = p.first + p.count <= head.tokens && head.fits(shape, at.bytes);
      record_part runs;
      if (sound) {
        runs = runs_of(shape, record, head, p);
        sound = runs.values.bytes <= part_place::value_room(shape);
      }
      if (!sound) {
        report(fault, errc::bad_store, culprit::store);
        p.count = 0;
        return;
      }
      copy_run(to + part_place::header, record, runs.head);
      copy_run(to + part_place::positions, record, runs.positions);
      copy_run(to + part_place::masks, record, runs.masks);
      copy_run(to + part_place::starts, record, runs.starts);
      copy_run(to + part_place::keys, record, runs.keys);
      copy_run(to + part_place::codes(shape), record, runs.codes);
      copy_run(to + part_place::values(shape), record, runs.values);
    }
  }
  ROTA_DEVICE static void copy_run(ptx::shared_address to, const std::byte* record,
                                   const record_run& run) {
    for (std::uint32_t i = ptx::lane_index() * chunk_bytes; i < run.bytes;
         i += ptx::warp_threads * chunk_bytes)
      ptx::copy16_async(to + i, record + run.begin + i);
  }

  ROTA_DEVICE void view_record_part(ptx::shared_address at, int first,
                                    tile_view<swizzle>& v) const {
    const record_head head(ptx::shared_load<std::uint32_t>(at + part_place::header),
                           ptx::shared_load<std::uint32_t>(at + part_place::header + 4));
    const record_layout layout = layout_record(shape, head.order, head.tokens, head.slices);
    // What a run that begins on 16 bytes has before the part's first.
    const auto before = [&](index_t offset) {
      return static_cast<std::uint32_t>((offset + first * 2) % chunk_bytes);
    };
    v.keys = {at + part_place::keys, key_bytes(), row_bits<swizzle>(key_bytes())};
    v.values = {at + part_place::values(shape), value_bytes(), row_bits<swizzle>(value_bytes())};
    v.positions.at = at + part_place::positions;
    v.has_positions = true;
    v.sliced = head.order != value_order::whole;
    if (!v.sliced) return;
    v.masks.at = at + part_place::masks + before(layout.masks);
    v.starts.at = at + part_place::starts + before(layout.starts);
    v.codes = at + part_place::codes(shape);
    v.code_chunks = static_cast<int>(shape.code_bytes() / chunk_bytes);
    const int slice = static_cast<int>(shape.slice_bytes()) / chunk_bytes;
    v.slice_chunks = static_cast<int>(head.slices) * slice;
    const int come = v.starts[0] * slice / bank_chunks * bank_chunks;  // the first that has come
    v.slices = at + part_place::values(shape) - static_cast<std::uint32_t>(come * chunk_bytes);
  }
};

}  // namespace rota::cuda
