#pragma once

#include <rota/cpu/score/state_tile.hpp>
#include <rota/score/predictor.hpp>

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// Scratch memory of the predictor. Work is cut into tiles of tokens, which all heads share: the
/// hidden states are read once.
struct predictor_memory {
  index_t outputs = 0;  ///< kv_heads * S
  index_t rank = 0;     ///< 0: blind
  index_t queries = 0;
  float* query_rows = nullptr;  ///< [kv_heads, queries, rank]: mix * (query_factor x_q)
  float* tiles = nullptr;       ///< [threads, tile_floats()]
  index_t hidden = 0, heads = 0;

  template <predictor_form Form, class Context>
  static predictor_memory carve(carver& from, const backend& b, const Context& c) {
    predictor_memory m;
    m.outputs = c.linear.extent[0];
    m.hidden = c.hidden.extent[1];
    m.heads = c.kv_heads();
    if constexpr (Form::conditioned) {
      m.rank = c.token_factor.extent[0];
      m.queries = c.query_hidden.extent[0];
    }
    m.query_rows = from.take<float>(m.heads * m.queries * m.rank);
    m.tiles = from.take<float>(b.exec.threads * m.tile_floats());
    return m;
  }

  index_t rows() const { return hidden + outputs + rank + queries + 1; }
  index_t tile_floats() const { return rows() * tile_tokens; }
};

/// The parts of a worker's tile, each [.., tile_tokens].
struct predictor_tile {
  float* states;     ///< hidden states, transposed
  float* relevance;  ///< of the outputs
  float* token_z;    ///< token_factor x_j
  float* logits;     ///< of the query tokens, one head at a time
  float* shared;     ///< what all groups of a head and token have in common

  predictor_tile(const predictor_memory& m, int worker)
      : states(m.tiles + worker * m.tile_floats()),
        relevance(states + m.hidden * tile_tokens),
        token_z(relevance + m.outputs * tile_tokens),
        logits(token_z + m.rank * tile_tokens),
        shared(logits + m.queries * tile_tokens) {}
};

/// What the query tokens are to each head: mix_h * (query_factor x_q), so that a token's logit is
/// one product of length rank.
template <class Context>
void make_query_rows(const Context& c, const predictor_memory& m) {
  for (index_t q = 0; q < m.queries; ++q)
    for (index_t k = 0; k < m.rank; ++k) {
      const float* const factor = c.query_factor.row(k);
      const float* const state = c.query_hidden.row(q);
      double sum = 0;
      for (index_t i = 0; i < m.hidden; ++i) sum += double{factor[i]} * double{state[i]};
      for (index_t h = 0; h < m.heads; ++h)
        m.query_rows[(h * m.queries + q) * m.rank + k] = c.mix(h, k) * static_cast<float>(sum);
    }
}

/// out[t] = log sum over `rows` rows of exp(x[row, t]).
inline void log_sum_exp(const float* x, index_t rows, float* out) {
  for (index_t t = 0; t < tile_tokens; t += lanes) {
    native top = simd::load<lanes>(x + t);
    for (index_t r = 1; r < rows; ++r)
      top = simd::max<lanes>(simd::load<lanes>(x + r * tile_tokens + t), top);
    native sum = {};
    for (index_t r = 0; r < rows; ++r)
      sum += simd::exp<lanes>(simd::load<lanes>(x + r * tile_tokens + t) - top);
    for (int l = 0; l < lanes; ++l) out[t + l] = top[l] + std::log(sum[l]);
  }
}

/// Relevance of the tile's tokens in tile.relevance [outputs, tile_tokens].
template <predictor_form Form, class Context>
void predict_tile(const Context& c, const predictor_memory& m, index_t first, index_t count,
                  const predictor_tile& tile) {
  load_state_tile(c.hidden, first, count, tile.states);
  multiply_weights(c.linear, tile.states, tile.relevance);
  if constexpr (Form::conditioned) multiply_weights(c.token_factor, tile.states, tile.token_z);

  const index_t groups = m.outputs / m.heads;
  for (index_t h = 0; h < m.heads; ++h) {
    if constexpr (Form::conditioned) {
      const view<const float, 2> rows(m.query_rows + h * m.queries * m.rank, m.queries, m.rank);
      multiply_weights(rows, tile.token_z, tile.logits);
      log_sum_exp(tile.logits, m.queries, tile.shared);
    }
    for (index_t o = h * groups; o < (h + 1) * groups; ++o)
      for (index_t t = 0; t < tile_tokens; ++t) {
        float& r = tile.relevance[o * tile_tokens + t];
        r += c.bias(o);
        if constexpr (Form::conditioned) r += tile.shared[t];
      }
  }
}

/// Calls f(first, count, tile, relevance) for each tile of tokens, on some worker.
template <predictor_form Form, class Context, class F>
void for_predicted_tiles(const backend& b, const Context& c, const predictor_memory& m, F&& f) {
  if constexpr (Form::conditioned) make_query_rows(c, m);
  const index_t tiles = (c.tokens() + tile_tokens - 1) / tile_tokens;
  parallel_for(b, tiles, [&](index_t i, int worker) {
    const index_t first = i * tile_tokens;
    const index_t count = std::min(tile_tokens, c.tokens() - first);
    const predictor_tile tile(m, worker);
    predict_tile<Form>(c, m, first, count, tile);
    f(first, count, tile);
  });
}

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

/// The predictor: what score_groups() calls. Errors besides its own: bad_shape, null_view and
/// bad_stride of "hidden", "query_hidden" and the weights.
template <predictor_form Form, element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend& b, predictor<Form>,
                                               const typename predictor<Form>::params&,
                                               const context<E, Parts...>& c, int width) {
  if (width < 1 || !check_predictor<Form>(c, c.d_v() / width)) return 0;
  carver count;
  score_detail::predictor_memory::carve<Form>(count, b, c);
  return count.bytes();
}

template <predictor_form Form, element E, class... Parts>
status score_whole_groups(const backend& b, predictor<Form>,
                          const typename predictor<Form>::params&, const context<E, Parts...>& c,
                          int, const view<float, 3>& out, workspace ws) {
  namespace sd = score_detail;
  if (status s = check_predictor<Form>(c, out.extent[2]); !s) return s;
  carver from(ws);
  const sd::predictor_memory m = sd::predictor_memory::carve<Form>(from, b, c);
  if (status s = from.check(); !s) return s;
  const index_t groups = out.extent[2];
  sd::for_predicted_tiles<Form>(
      b, c, m, [&](index_t first, index_t count, const sd::predictor_tile& tile) {
        for (index_t h = 0; h < m.heads; ++h)
          for (index_t t = 0; t < count; ++t) {
            float* const scores = out.row(h, first + t);
            for (index_t s = 0; s < groups; ++s)
              scores[s] = tile.relevance[(h * groups + s) * sd::tile_tokens + t];
          }
      });
  return {};
}

/// The token predictor: what score_tokens() calls. The number of groups is what the weights were
/// fitted for: linear has kv_heads * S rows.
template <predictor_form Form, element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend& b, token_predictor<Form>,
                                               const typename token_predictor<Form>::params&,
                                               const context<E, Parts...>& c) {
  if (!check_predictor<Form>(c, c.linear.extent[0] / c.kv_heads())) return 0;
  carver count;
  score_detail::predictor_memory::carve<Form>(count, b, c);
  return count.bytes();
}

template <predictor_form Form, element E, class... Parts>
status score_whole_tokens(const backend& b, token_predictor<Form>,
                          const typename token_predictor<Form>::params&,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  namespace sd = score_detail;
  const index_t groups = c.linear.extent[0] / c.kv_heads();
  if (status s = check_predictor<Form>(c, groups); !s) return s;
  carver from(ws);
  const sd::predictor_memory m = sd::predictor_memory::carve<Form>(from, b, c);
  if (status s = from.check(); !s) return s;
  sd::for_predicted_tiles<Form>(
      b, c, m, [&](index_t first, index_t count, const sd::predictor_tile& tile) {
        for (index_t h = 0; h < m.heads; ++h) {
          sd::log_sum_exp(tile.relevance + h * groups * sd::tile_tokens, groups, tile.shared);
          std::copy_n(tile.shared, count, out.row(h) + first);
        }
      });
  return {};
}

}  // namespace rota::cpu
