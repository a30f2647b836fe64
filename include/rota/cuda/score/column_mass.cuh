#pragma once

#include <rota/cuda/context.cuh>
#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/product/tile.cuh>
#include <rota/cuda/score/softmax_rows.cuh>
#include <rota/policy/visibility.hpp>
#include <rota/score/mass_queries.hpp>

// Attention that queries give each token, summed over the queries: the fused pass of every scorer
// that needs attention weights. The attention matrix is never stored: a first pass over the keys
// finds the softmax of each query row, a second adds the probabilities up.

namespace rota::cuda {

/// Query rows of a kv head, times the scale of logits to base 2: row r is query r / group of query
/// head `head` * group + r % group.
template <element Q>
struct query_row_source {
  const Q* data;
  index_t token_stride, head_stride, group;
  float factor;

  ROTA_DEVICE float operator()(index_t head, index_t row, index_t k) const {
    const index_t q = head * group + row % group;
    return factor *
           static_cast<float>(ptx::load(data + row / group * token_stride + q * head_stride + k));
  }
};

/// What each query row sees: a thread a row. The rows' own positions, or those of the last tokens.
template <element E>
struct find_seen_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 1;

  struct arguments {
    pack_source<E> from;
    const position_t* positions;  ///< [queries]; null: the last tokens'
    index_t stride, queries;
    index_t sliding_window;
    token_run* seen;  ///< [queries]
    index_t* own;     ///< the first token at or behind the first row
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (i >= a.queries) return;
    const index_t n = a.from.tokens.get(a.fault);
    const auto position = [&](index_t token) { return a.from.position(token); };
    const index_t own = n - a.queries + i;  // where the rows have no positions
    if (a.positions == nullptr && own < 0) {
      ptx::store(a.seen + i, token_run{});
      if (i == 0) ptx::store(a.own, index_t{0});
      return;
    }
    const index_t at = a.positions != nullptr ? index_t{ptx::load(a.positions + i * a.stride)}
                                              : index_t{position(own)};
    ptx::store(a.seen + i, tokens_seen(n, at, a.sliding_window, position));
    if (i == 0) ptx::store(a.own, tokens_up_to(n, at - 1, position));
  }
};

/// Scratch memory of column_mass().
struct mass_memory {
  /// Tokens whose part of a softmax one block finds.
  static constexpr index_t chunk = 512;

  index_t group = 0, queries = 0, chunks = 0;
  token_run* seen = nullptr;       ///< [queries]
  index_t* own = nullptr;          ///< the first token at or behind the first query
  split_rows rows;                 ///< [kv_heads][queries * group, d_k]
  softmax_part* parts = nullptr;   ///< [kv_heads, chunks, rows]
  softmax_row* softmax = nullptr;  ///< [kv_heads, rows]

  template <class Context, element Q>
  static mass_memory carve(carver& from, const Context& c, const mass_queries<Q>& q) {
    mass_memory m;
    m.group = q.queries.extent[1] / c.kv_heads();
    m.queries = q.queries.extent[0];
    m.chunks = blocks_of(c.tokens(), chunk);
    m.seen = from.take<token_run>(m.queries);
    m.own = from.take<index_t>(1);
    m.rows = split_rows::carve(from, c.kv_heads(), m.queries * m.group, c.d_k());
    m.parts = from.take<softmax_part>(c.kv_heads() * m.chunks * m.rows.rows);
    m.softmax = from.take<softmax_row>(c.kv_heads() * m.rows.rows);
    return m;
  }
};

/// What both passes read.
template <element E>
struct mass_arguments {
  pack_source<E> from;
  split_rows rows;
  index_t group, queries;
  const token_run* seen;  ///< [queries]: both ends ascend
  softmax_part* parts;
  softmax_row* softmax;
  float* mass;  ///< [kv_heads, capacity]
  std::uint32_t* fault;

  /// The tokens that a query row sees.
  ROTA_DEVICE token_run seen_by(index_t row) const { return ptx::load(seen + row / group); }
  /// Whether it is one of them.
  ROTA_DEVICE bool sees(index_t row, index_t token) const {
    const token_run run = seen_by(row);
    return token >= run.first && token < run.last;
  }
  /// The tokens that a tile of rows from `row` on may see.
  ROTA_DEVICE token_run seen_by_tile(index_t row) const {
    const index_t last = row + split_rows::tile < rows.rows ? row + split_rows::tile : rows.rows;
    return {seen_by(row).first, seen_by(last - 1).last};
  }
};

/// First pass: the chunk's part of every row's softmax.
template <element E>
struct mass_softmax_kernel {
  using product = product_tile<E>;
  using arguments = mass_arguments<E>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;
  static constexpr int warps = threads / ptx::warp_threads;
  static constexpr std::uint32_t parts_at = product::shared_bytes;
  static constexpr std::uint32_t shared_bytes =
      parts_at + warps * split_rows::tile * sizeof(softmax_part);

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t n = a.from.tokens.get(a.fault), head = ptx::block_y();
    const index_t begin = index_t{ptx::block_x()} * mass_memory::chunk;
    const index_t end = begin + mass_memory::chunk < n ? begin + mass_memory::chunk : n;
    for (index_t row = 0; row < a.rows.rows; row += split_rows::tile) {
      softmax_part sums[8][2];
      add_chunk(a, head, begin, end, row, sums);
      write(a, head, row, sums);
    }
  }

 private:
  ROTA_DEVICE static void add_chunk(const arguments& a, index_t head, index_t begin, index_t end,
                                    index_t row, softmax_part (&sums)[8][2]) {
    const token_run seen = a.seen_by_tile(row);
    const index_t behind = seen.last < end ? seen.last : end;
    for (index_t first = begin; first < behind; first += product::tokens) {
      if (first + product::tokens <= seen.first) continue;
      const index_t left = end - first;
      const int count = static_cast<int>(left < product::tokens ? left : product::tokens);
      product_fragments<> logits;
      product{ptx::shared_base()}.multiply(
          logits, [&](int j) { return a.from.key(first + j, head); }, count, a.rows, head, row);
      ROTA_UNROLL
      for (int j = 0; j < 8; ++j) {
        ROTA_UNROLL
        for (int i = 0; i < 4; ++i) {
          const int token = product_fragments<>::token(i / 2);
          const index_t own = row + product_fragments<>::row(j, i % 2);
          if (token < count && own < a.rows.rows && a.sees(own, first + token))
            sums[j][i % 2].add(logits.c[j][i]);
        }
      }
    }
  }

  /// Joins what lanes and warps have of the same rows.
  ROTA_DEVICE static void write(const arguments& a, index_t head, index_t row,
                                softmax_part (&sums)[8][2]) {
    const ptx::shared_array<softmax_part> all{ptx::shared_base() + parts_at};
    const int lane = static_cast<int>(ptx::lane_index());
    ROTA_UNROLL
    for (int j = 0; j < 8; ++j) {
      ROTA_UNROLL
      for (int k = 0; k < 2; ++k) {
        ROTA_UNROLL
        for (int step = 4; step < ptx::warp_threads; step *= 2) sums[j][k].add_lane(step);
        if (lane < 4)
          all.set(static_cast<int>(ptx::warp_index() * split_rows::tile) +
                      product_fragments<>::row(j, k),
                  sums[j][k]);
      }
    }
    ptx::sync_block();
    const int own = static_cast<int>(ptx::thread_index());
    if (own < split_rows::tile && row + own < a.rows.rows) {
      softmax_part sum;
      for (int w = 0; w < warps; ++w) sum.add(all[w * static_cast<int>(split_rows::tile) + own]);
      const index_t place = (head * ptx::blocks_x() + ptx::block_x()) * a.rows.rows + row + own;
      ptx::store(a.parts + place, sum);
    }
    ptx::sync_block();
  }
};

/// Second pass: the probabilities of 64 tokens, summed over the rows.
template <element E>
struct mass_sums_kernel {
  using product = product_tile<E>;
  using arguments = mass_arguments<E>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t n = a.from.tokens.get(a.fault), head = ptx::block_y();
    const index_t first = index_t{ptx::block_x()} * product::tokens, left = n - first;
    if (left <= 0) return;
    const int count = static_cast<int>(left < product::tokens ? left : product::tokens);
    float mass[2] = {0, 0};
    for (index_t row = 0; row < a.rows.rows; row += split_rows::tile) {
      const token_run seen = a.seen_by_tile(row);
      if (seen.last <= first || seen.first >= first + count) continue;
      product_fragments<> logits;
      product{ptx::shared_base()}.multiply(
          logits, [&](int j) { return a.from.key(first + j, head); }, count, a.rows, head, row);
      ROTA_UNROLL
      for (int j = 0; j < 8; ++j) {
        ROTA_UNROLL
        for (int k = 0; k < 2; ++k) {
          const index_t own = row + product_fragments<>::row(j, k);
          if (own >= a.rows.rows) continue;
          const softmax_row softmax = ptx::load(a.softmax + head * a.rows.rows + own);
          ROTA_UNROLL
          for (int half = 0; half < 2; ++half)
            if (a.sees(own, first + product_fragments<>::token(half)))
              mass[half] += probability(logits.c[j][2 * half + k], softmax);
        }
      }
    }
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      mass[half] += ptx::shuffle_xor(mass[half], 1);
      mass[half] += ptx::shuffle_xor(mass[half], 2);
      const int token = product_fragments<>::token(half);
      if (ptx::lane_index() % 4 == 0 && token < count)
        ptx::store(a.mass + head * a.from.tokens.capacity + first + token, mass[half]);
    }
  }
};

/// Checks the window queries of a context, whatever is then made of them.
template <class Context, class Out>
status check_queries(const backend& b, const Context& c, const Out& out) {
  if (status s = check_mass_queries(c); !s) return s;
  using query = std::remove_cvref_t<decltype(*c.queries.data)>;
  if (status s = check_rows(b, c.queries, alignof(query), "queries"); !s) return s;
  if (status s = check_rows(b, c.query_positions, alignof(position_t), "query_positions"); !s)
    return s;
  if (overlaps(range_of(out), range_of(c.queries)) ||
      overlaps(range_of(out), range_of(c.query_positions)))
    return {errc::overlapping_memory, "out"};
  return {};
}

template <element E, class... Parts, element Q>
status launch_find_seen(const backend& b, const context<E, Parts...>& c, const mass_queries<Q>& q,
                        const mass_memory& m) {
  using kernel = find_seen_kernel<E>;
  return launch<kernel>(b, {blocks_of(m.queries, kernel::threads)},
                        {pack_source<E>(c), q.positions.data, q.positions.stride[0], m.queries,
                         c.sliding_window, m.seen, m.own, b.fault});
}

/// mass [kv_heads, tokens]: sum over queries and query heads of the kv head of p_{q, token}.
template <element E, class... Parts, element Q>
status column_mass(const backend& b, const context<E, Parts...>& c, const mass_queries<Q>& q,
                   const mass_memory& m, float* mass) {
  const view<const Q, 3>& v = q.queries;
  const query_row_source<Q> rows{v.data, v.stride[0], v.stride[1], m.group,
                                 q.logit_scale() * log2_e};
  if (status s = launch_find_seen(b, c, q, m); !s) return s;
  if (status s = launch_split(b, c.kv_heads(), rows, m.rows); !s) return s;
  const mass_arguments<E> a{pack_source<E>(c), m.rows,    m.group, m.queries, m.seen,
                            m.parts,           m.softmax, mass,    b.fault};
  using first = mass_softmax_kernel<E>;
  using second = mass_sums_kernel<E>;
  if (status s = launch<first>(b, {m.chunks, c.kv_heads()}, a, first::shared_bytes); !s) return s;
  if (status s = launch_join(b, c.kv_heads(),
                             {m.parts, m.rows.rows, m.chunks, 1, m.rows.rows, m.softmax, b.fault});
      !s)
    return s;
  return launch<second>(b, {blocks_of(c.tokens(), second::product::tokens), c.kv_heads()}, a,
                        second::product::shared_bytes);
}

}  // namespace rota::cuda
