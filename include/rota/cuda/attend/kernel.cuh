#pragma once

#include <rota/cuda/attend/loaders.cuh>
#include <rota/cuda/attend/matrix_rows.cuh>
#include <rota/cuda/attend/page_loader.cuh>
#include <rota/cuda/attend/plain_rows.cuh>
#include <rota/cuda/attend/shares.cuh>

namespace rota::cuda {

/// How a kernel is cut out for a kind of store, query block and device. Row_tiles: 16 query rows
/// each, 1, 2 or 4, shared by the four warps; warps of the same rows share the tokens of a tile.
template <int D, int Row_tiles, fill_sums Fill, int Extras, bool Bulk>
struct attend_form {
  static constexpr int head = D;
  static constexpr int row_tiles = Row_tiles;
  static constexpr fill_sums fill = Fill;
  static constexpr int extras = Extras;
  static constexpr bool bulk = Bulk;

  static constexpr int warps = 4;
  static constexpr int token_warps = warps / Row_tiles;
  static constexpr int rows = Row_tiles * fragment_rows;
  /// Floats of a row's partial result: sums of values, extra sums, maximum and sum of weights.
  static constexpr int extra_columns = Extras * fragment_columns;
  static constexpr int partial_floats = D + extra_columns + 2;
};

/// Attention of a block of query rows over its share of a batch's bytes. Partial results go to
/// slots that merge_kernel adds up.
template <class Source, class Form>
struct attend_kernel {
  static constexpr int threads = Form::warps * ptx::warp_threads;
  static constexpr int least_blocks = 2;
  using E = typename Source::element_type;
  using swizzle = typename Source::swizzle;
  using loader = std::conditional_t<Source::has_pages, page_loader<Source, threads, Form::head>,
                                    std::conditional_t<Form::bulk, bulk_loader<Source, threads>,
                                                       chunk_loader<Source, threads, Form::head>>>;
  using warp_state = std::conditional_t<
      sizeof(E) == 2, matrix_rows<E, Form::head, Source::width, swizzle, Form::fill, Form::extras>,
      plain_rows<Form::head, Source::width, swizzle, Form::fill, Form::extras>>;

  struct arguments {
    attend_batch<Source> batch;
    record_shape shape;
    std::uint32_t stage_bytes;
    int stages;  ///< least_stages or most_stages
    bool has_means;
    float* partials;     ///< [row blocks, slots, rows, partial_floats]
    std::int64_t* ends;  ///< [row blocks, segments]: weights up to each segment's end
    std::uint32_t* fault;
  };

  /// Tiles that are on their way or worked on at a time, each in a place of its own.
  static constexpr int most_stages = 3, least_stages = 2;
  // Shared memory: zeros, barriers, then the stages.
  static constexpr std::uint32_t zero_bytes = 128;
  static constexpr std::uint32_t stages_at = 256;

  static std::uint32_t stage_bytes_of(const record_shape& s) {
    if constexpr (Source::has_pages)
      return static_cast<std::uint32_t>(align_up(loader::stage_bytes(s), 128));
    const index_t padding = Form::bulk ? 2 * chunk_bytes : 0;  // see bulk_loader::places()
    const index_t rows = tile_tokens * (s.key_bytes() + s.value_bytes() + padding);
    index_t record = 0;
    if (Source::has_records)
      for (const value_order order : {value_order::whole, value_order::token_major}) {
        const index_t bytes = layout_record(s, order, tile_tokens, tile_tokens * s.groups()).bytes;
        record = bytes > record ? bytes : record;
      }
    return static_cast<std::uint32_t>(align_up(rows > record ? rows : record, 128));
  }
  static std::size_t shared_bytes(const record_shape& s, int stages) {
    const std::size_t stage = std::size_t{stage_bytes_of(s)} * static_cast<std::size_t>(stages);
    const std::size_t merge = sizeof(float) * Form::warps * fragment_rows * Form::partial_floats;
    const std::size_t shares = sizeof(std::int64_t) * share_words<threads>;
    const std::size_t most = stage > merge ? stage : merge;
    return stages_at + (most > shares ? most : shares);
  }

  ROTA_DEVICE static void run(const arguments& a) {
    if constexpr (Source::in_bulk && !ptx::is_compiled_for(Form::bulk)) return;
    if (failed(a.fault)) return;
    const ptx::shared_address base = ptx::shared_base();
    const index_t first_row = index_t{ptx::block_y()} * Form::rows;
    if (ptx::thread_index() < zero_bytes / 4)
      ptx::shared_store<std::uint32_t>(base + 4 * ptx::thread_index(), 0u);
    const index_t segments = a.batch.segments();
    bool sound = true;
    for (index_t i = ptx::thread_index(); i < segments; i += threads) {
      const auto& store = a.batch.items[i / a.batch.kv_heads].store;
      sound =
          store.is_sound(a.fault) && store.is_head_sound(i % a.batch.kv_heads, a.fault) && sound;
    }
    if (ptx::sync_block_or(!sound)) return;
    std::int64_t* const ends = ptx::block_x() == 0 ? a.ends + ptx::block_y() * segments : nullptr;
    share own = find_share<threads, Form::bulk>(a.batch, first_row, Form::rows, base + stages_at,
                                                ends, a.fault);
    if (own.begin >= own.end) return;

    stage_ring ring{a.stages};  // goes on through all segments, for the barriers' phases
    if constexpr (Form::bulk) loader::start(base + zero_bytes, a.stages);
    for (index_t s = own.segment; s < segments; ++s) {
      const segment seg = a.batch.open(s, first_row, Form::rows, a.fault);
      const index_t begin = own.begin > own.before ? own.begin - own.before : 0;
      if (own.before >= own.end) break;
      const index_t end = own.end - own.before < seg.weight() ? own.end - own.before : seg.weight();
      if (end > begin) attend_segment(a, base, s, seg, begin, end, first_row, ring);
      own.before += seg.weight();
    }
  }

 private:
  /// The part of one segment between two weights.
  ROTA_DEVICE static void attend_segment(const arguments& a, ptx::shared_address base,
                                         index_t number, const segment& seg, index_t begin,
                                         index_t end, index_t first_row, stage_ring& ring) {
    const auto& item = a.batch.items[number / a.batch.kv_heads];
    const index_t h = number % a.batch.kv_heads;
    const index_t from = begin > 0 ? item.store.cut(h, seg, begin) : 0;
    const index_t to = end < seg.weight() ? item.store.cut(h, seg, end) : seg.tiles();

    warp_state state;
    row_sights see;
    const int warp = static_cast<int>(ptx::warp_index());
    const int row_tile = warp % Form::row_tiles, token_warp = warp / Form::row_tiles;
    const index_t rows_first = first_row + row_tile * fragment_rows;
    load_rows(a, item, h, rows_first, state, see);
    const index_t all_rows = item.queries * a.batch.group;
    const index_t last_row = first_row + Form::rows < all_rows ? first_row + Form::rows : all_rows;
    const sight whole = a.batch.sight_of(item, first_row, last_row, a.fault);

    loader load{item.store, a.shape};
    if constexpr (Form::bulk) load.barriers = base + zero_bytes;
    const auto stage_of = [&](int place) {
      return base + stages_at + static_cast<std::uint32_t>(place) * a.stage_bytes;
    };
    const auto fetch = [&](index_t tile, int place) {
      if (tile < to)
        fetch_tile(a, load, item, h, seg, tile, stage_of(place), place);
      else
        load.fetch_nothing();
    };
    for (int i = 0; i < ring.stages; ++i) fetch(from + i, ring.after(i));
    for (index_t tile = from; tile < to; ++tile) {
      wait(load, ring);
      const ptx::shared_address at = stage_of(ring.place);
      if constexpr (Source::has_pages) {
        ROTA_UNROLL
        for (int step = 0; step < Form::row_tiles; ++step) {
          const tile_view<swizzle> view = load.view_part(at, step * Form::token_warps + token_warp);
          if (view.tokens > 0) state.add(view, 0, is_masked(view, whole), see, base);
        }
      } else {
        const tile_view<swizzle> view = view_tile(a, load, item, seg, tile, at);
        const bool masked = view.tokens > 0 && is_masked(view, whole);
        ROTA_UNROLL
        for (int step = 0; step < Form::row_tiles; ++step) {
          const int token = (step * Form::token_warps + token_warp) * fragment_rows;
          if (token < view.tokens) state.add(view, token, masked, see, base);
        }
      }
      ptx::sync_block();  // all have left the place that is filled next
      fetch(tile + ring.stages, ring.place);
      ring.advance();
    }
    write_partial(a, base, number, static_cast<int>(last_row - first_row), state);
  }

  /// Until the next tile has come. All places behind it have been asked for.
  ROTA_DEVICE static void wait(const loader& load, const stage_ring& ring) {
    if (ring.stages == most_stages)
      load.template wait<most_stages - 1>(ring.place, ring.parity);
    else
      load.template wait<least_stages - 1>(ring.place, ring.parity);
  }

  /// The warp's queries, and what its lanes' rows see.
  template <class Item>
  ROTA_DEVICE static void load_rows(const arguments& a, const Item& item, index_t h, index_t first,
                                    warp_state& state, row_sights& see) {
    const int group = a.batch.group;
    state.clear();
    state.scale = a.batch.scale;
    state.has_means = a.has_means;
    state.load_queries(a.batch.io, [&](int r) -> const void* {
      const index_t row = first + r, token = row / group;
      if (token >= item.queries) return nullptr;
      return io_at(item.q, a.batch.io,
                   token * item.q_token + (h * group + row % group) * item.q_head);
    });
    const index_t next = item.store.next_position(a.fault), start = next - item.queries;
    ROTA_UNROLL
    for (int i = 0; i < 2; ++i) {
      const index_t row = first + ptx::lane_index() / 4 + 8 * i;
      const index_t position = start + row / group;
      see.last[i] = a.batch.causal ? position : next - 1;
      see.first[i] = a.batch.window > 0 ? position - a.batch.window + 1 : 0;
    }
  }

  template <class Item>
  ROTA_DEVICE static void fetch_tile(const arguments& a, loader& load, const Item& item, index_t h,
                                     const segment& seg, index_t tile, ptx::shared_address to,
                                     int stage) {
    if constexpr (Source::has_pages) {
      load.fetch_pages(to, h, seg, tile, a.fault);
    } else {
      if constexpr (Source::has_records)
        if (tile < seg.records) {
          const record_range record = item.store.record(h, tile, a.stage_bytes, a.fault);
          if (record.bytes > 0)
            load.fetch_record(to, stage, item.store.rows.data + record.begin, record.bytes);
          else
            load.fetch_empty_record(to, stage);
          return;
        }
      const index_t first = seg.from + (tile - seg.records) * tile_tokens;
      load.fetch_rows(to, stage, h, first, rows_in(seg, first), a.fault);
    }
  }

  ROTA_DEVICE static int rows_in(const segment& seg, index_t first) {
    const index_t left = seg.to - first;
    return static_cast<int>(left < tile_tokens ? left : tile_tokens);
  }

  template <class Item>
  ROTA_DEVICE static tile_view<swizzle> view_tile(const arguments& a, const loader& load,
                                                  const Item& item, const segment& seg,
                                                  index_t tile, ptx::shared_address at) {
    if constexpr (Source::has_records)
      if (tile < seg.records) return view_record<swizzle>(at, a.shape, a.fault);
    const index_t first = seg.from + (tile - seg.records) * tile_tokens;
    const row_places places = load.places();
    tile_view<swizzle> view;
    view.tokens = rows_in(seg, first);
    view.keys = {at, places.key_stride, load.row_bits(places.key_stride)};
    view.values = {at + places.values_at(), places.value_stride,
                   load.row_bits(places.value_stride)};
    view.first_position = item.store.row_position(first, a.fault);
    return view;
  }

  /// Whether some row of the block may not see some token of the tile.
  ROTA_DEVICE static bool is_masked(const tile_view<swizzle>& view, const sight& see) {
    const index_t first = view.position(0), last = view.position(view.tokens - 1);
    return last > see.first_position || (see.window > 0 && first <= see.last_position - see.window);
  }

  /// Adds up the warps that shared the tokens, in their order, and writes the block's partial
  /// result: unnormalised sums, maxima and sums of weights of the rows that there are.
  ROTA_DEVICE static void write_partial(const arguments& a, ptx::shared_address base,
                                        index_t number, int rows, warp_state& state) {
    constexpr int columns = Form::head + Form::extra_columns;
    constexpr int floats = Form::partial_floats;
    const ptx::shared_array<float> own{base + stages_at};
    const int warp = static_cast<int>(ptx::warp_index()),
              lane = static_cast<int>(ptx::lane_index());
    ROTA_UNROLL
    for (int row = 0; row < 2; ++row)
      for (int step = 1; step < 4; step *= 2)
        state.sum[row] += ptx::shuffle_xor(state.sum[row], step);
    ROTA_UNROLL
    for (int j = 0; j < columns / fragment_columns; ++j) {
      ROTA_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int row = warp * fragment_rows + lane / 4 + i / 2 * 8;
        const int column = j * fragment_columns + 2 * (lane % 4) + i % 2;
        constexpr int values = Form::head / fragment_columns;
        own.set(row * floats + column, j < values ? state.o[j < values ? j : 0][i]
                                                  : state.extra[j < values ? 0 : j - values][i]);
      }
    }
    if (lane % 4 == 0)
      for (int i = 0; i < 2; ++i) {
        const int row = warp * fragment_rows + lane / 4 + i * 8;
        own.set(row * floats + columns, state.max[i]);
        own.set(row * floats + columns + 1, state.sum[i]);
      }
    ptx::sync_block();
    const index_t slots = slots_of(ptx::blocks_x(), a.batch.segments());
    const index_t slot = index_t{ptx::block_y()} * slots + ptx::block_x() + number;
    float* const to = a.partials + slot * Form::rows * floats;
    for (int i = static_cast<int>(ptx::thread_index()); i < rows * floats; i += threads) {
      const int row = i / floats, column = i % floats;
      float top = ptx::minus_infinity;
      const auto at = [&](int w) {
        const int tile = row / fragment_rows + w * Form::row_tiles;
        return (tile * fragment_rows + row % fragment_rows) * floats;
      };
      for (int w = 0; w < Form::token_warps; ++w) {
        const float m = own[at(w) + columns];
        top = m > top ? m : top;
      }
      const float finite = top == ptx::minus_infinity ? 0.0f : top;
      float sum = 0;
      for (int w = 0; w < Form::token_warps; ++w)
        sum += ptx::exp2(own[at(w) + columns] - finite) * own[at(w) + column];
      ptx::store(to + i, column == columns ? top : sum);
    }
    if constexpr (Form::bulk) ptx::fence_before_bulk();  // the stages are filled again
    ptx::sync_block();
  }
};

}  // namespace rota::cuda
