#pragma once

#include <rota/cuda/context.cuh>
#include <rota/cuda/pack/sources.cuh>
#include <rota/cuda/product/tile.cuh>
#include <rota/cuda/score/softmax_rows.cuh>
#include <rota/score/mass_queries.hpp>

// Attention that queries give each token, summed over the queries: the fused pass of every scorer
// that needs attention weights. The attention matrix is never stored: a first pass over the keys
// finds the softmax of each query row, a second adds the probabilities up.

namespace rota::cuda {

/// Query rows of a kv head, times the scale of logits to base 2: row r is query r / group of query
/// head `head` * group + r % group.
struct query_row_source {
  const float* data;
  index_t token_stride, head_stride, group;
  float factor;

  ROTA_DEVICE float operator()(index_t head, index_t row, index_t k) const {
    const index_t q = head * group + row % group;
    return factor * ptx::load(data + row / group * token_stride + q * head_stride + k);
  }
};

/// Scratch memory of column_mass().
struct mass_memory {
  /// Tokens whose part of a softmax one block finds.
  static constexpr index_t chunk = 512;

  index_t group = 0, queries = 0, chunks = 0;
  split_rows rows;                 ///< [kv_heads][queries * group, d_k]
  softmax_part* parts = nullptr;   ///< [kv_heads, chunks, rows]
  softmax_row* softmax = nullptr;  ///< [kv_heads, rows]

  template <class Context>
  static mass_memory carve(carver& from, const Context& c, const mass_queries& q) {
    mass_memory m;
    m.group = q.queries.extent[1] / c.kv_heads();
    m.queries = q.queries.extent[0];
    m.chunks = blocks_of(c.tokens(), chunk);
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
  softmax_part* parts;
  softmax_row* softmax;
  float* mass;  ///< [kv_heads, capacity]
  std::uint32_t* fault;

  /// The last token that a query row sees.
  ROTA_DEVICE index_t last_seen(index_t row, index_t tokens) const {
    return tokens - queries + row / group;
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
      add_chunk(a, head, n, begin, end, row, sums);
      write(a, head, row, sums);
    }
  }

 private:
  ROTA_DEVICE static void add_chunk(const arguments& a, index_t head, index_t n, index_t begin,
                                    index_t end, index_t row, softmax_part (&sums)[8][2]) {
    const index_t last_row =
        row + split_rows::tile < a.rows.rows ? row + split_rows::tile - 1 : a.rows.rows - 1;
    const index_t seen = a.last_seen(last_row, n) + 1, behind = seen < end ? seen : end;
    for (index_t first = begin; first < behind; first += product::tokens) {
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
          if (token < count && own < a.rows.rows && first + token <= a.last_seen(own, n))
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
    for (index_t row = first_row(a, n, first); row < a.rows.rows; row += split_rows::tile) {
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
            if (first + product_fragments<>::token(half) <= a.last_seen(own, n))
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

 private:
  /// Of the first tile of rows that has one which sees token `first`.
  ROTA_DEVICE static index_t first_row(const arguments& a, index_t n, index_t first) {
    const index_t query = first - (n - a.queries), row = query * a.group;
    return row <= 0 ? 0 : row / split_rows::tile * split_rows::tile;
  }
};

/// Checks the window queries of a context, whatever is then made of them.
template <class Context, class Out>
status check_queries(const backend& b, const Context& c, const Out& out) {
  if (status s = check_mass_queries(c); !s) return s;
  if (status s = check_rows(b, c.queries, alignof(float), "queries"); !s) return s;
  if (overlaps(range_of(out), range_of(c.queries))) return {errc::overlapping_memory, "out"};
  return {};
}

/// mass [kv_heads, tokens]: sum over queries and query heads of the kv head of p_{q, token}.
template <element E, class... Parts>
status column_mass(const backend& b, const context<E, Parts...>& c, const mass_queries& q,
                   const mass_memory& m, float* mass) {
  const view<const float, 3>& v = q.queries;
  const query_row_source rows{v.data, v.stride[0], v.stride[1], m.group, q.logit_scale() * log2_e};
  if (status s = launch_split(b, c.kv_heads(), rows, m.rows); !s) return s;
  const mass_arguments<E> a{pack_source<E>(c), m.rows,    m.group, m.queries,
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
