#pragma once

#include <rota/cuda/attend/head_blocks.cuh>

// What attention reads of a page_view: tiles of four parts of pages, 16 tokens each at most, from
// anywhere in the store.

namespace rota::cuda {

/// Parts of a tile.
inline constexpr int tile_parts = tile_tokens / static_cast<int>(page_part_tokens);

/// A part of a page: up to 16 tokens of a record, or rows.
struct page_part {
  index_t block = 0;  ///< the record
  index_t row = 0;    ///< number of the first row
  int first = 0;      ///< token of the record
  int count = 0;
  bool in_record = false;
};

template <class Source>
struct page_source {
  using element_type = typename Source::element_type;
  using swizzle = typename Source::swizzle;
  static constexpr bool has_records = Source::has_records;
  static constexpr bool has_pages = true;
  static constexpr bool in_bulk = false;
  static constexpr int width = Source::width;
  Source whole;
  page_list_ref list;
  std::int32_t page_tokens = 0;

  ROTA_DEVICE bool is_sound(std::uint32_t* fault) const { return whole.is_sound(fault); }
  ROTA_DEVICE bool is_head_sound(index_t h, std::uint32_t* fault) const {
    return whole.is_head_sound(h, fault);
  }
  ROTA_DEVICE index_t next_position(std::uint32_t* fault) const {
    return whole.next_position(fault);
  }
  ROTA_DEVICE packed_parts parts() const { return whole.parts(); }

  ROTA_DEVICE int parts_a_page() const {
    return (page_tokens + static_cast<int>(page_part_tokens) - 1) /
           static_cast<int>(page_part_tokens);
  }
  /// Tiles count alike: pages are alike.
  ROTA_DEVICE segment open(index_t h, const sight&, std::uint32_t* fault) const {
    const index_t pages = list.count(h);
    if (pages < 0) report(fault, errc::bad_count, culprit::pages);
    segment s;
    s.to = pages > 0 ? pages * parts_a_page() * page_part_tokens : 0;
    s.row_weight = s.tiles();
    return s;
  }
  ROTA_DEVICE index_t cut(index_t, const segment& s, index_t weight) const {
    return s.cut_rows(weight);
  }

  /// Part `number` of head h's pages, of `parts` in all. Empty behind the end of its page, and
  /// where the list is not one of ascending pages of this store, which is reported.
  ROTA_DEVICE page_part part(index_t h, index_t number, index_t parts, std::uint32_t* fault) const {
    page_part p;
    if (number >= parts) return p;
    const int i = static_cast<int>(number) / parts_a_page();
    const page_ref page = list.page(h, i);
    const head_blocks blocks = blocks_of_head(whole, h, fault);
    bool sound = blocks.has(page) && page.count <= page_tokens;
    if (i > 0) {
      const page_ref before = list.page(h, i - 1);
      sound = sound &&
              (page.block > before.block ||
               (page.block == before.block && page.first >= index_t{before.first} + before.count));
    }
    if (!sound) {
      report(fault, errc::bad_store, culprit::pages);
      return p;
    }
    const int skipped =
        static_cast<int>(number) % parts_a_page() * static_cast<int>(page_part_tokens);
    const int left = page.count - skipped;
    p.block = page.block;
    p.first = page.first + skipped;
    p.count = left < page_part_tokens ? (left > 0 ? left : 0) : static_cast<int>(page_part_tokens);
    p.in_record = blocks.is_record(page);
    p.row = p.in_record ? 0 : blocks.row(page) + skipped;
    return p;
  }
};

}  // namespace rota::cuda
