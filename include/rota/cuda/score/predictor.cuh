#pragma once

#include <rota/cuda/context.cuh>
#include <rota/cuda/product/rows_product.cuh>
#include <rota/cuda/score/softmax_rows.cuh>
#include <rota/score/predictor.hpp>

namespace rota::cuda {

/// Scratch memory of a predictor. A token's row of `states` holds its linear outputs, then (where
/// there is a query) its factors.
struct predictor_memory {
  index_t outputs = 0, rank = 0, queries = 0;
  split_rows weights;             ///< [state_width(), hidden]
  float* states = nullptr;        ///< [tokens, state_width()]
  split_rows query_weights;       ///< [rank, hidden]
  float* query_states = nullptr;  ///< [queries, rank]
  split_rows query_rows;          ///< [kv_heads][queries, rank]: mix times the query's states
  float* shared_terms = nullptr;  ///< [kv_heads, tokens]: what a token's groups have in common

  template <predictor_form Form, class Context>
  static predictor_memory carve(carver& from, const Context& c) {
    predictor_memory m;
    const index_t hidden = c.hidden.extent[1];
    m.outputs = c.linear.extent[0];
    if constexpr (Form::conditioned) {
      m.rank = c.token_factor.extent[0];
      m.queries = c.query_hidden.extent[0];
      m.query_weights = split_rows::carve(from, 1, m.rank, hidden);
      m.query_states = from.take<float>(m.queries * m.rank);
      m.query_rows = split_rows::carve(from, c.kv_heads(), m.queries, m.rank);
      m.shared_terms = from.take<float>(c.kv_heads() * c.tokens());
    }
    m.weights = split_rows::carve(from, 1, m.state_width(), hidden);
    m.states = from.take<float>(c.tokens() * m.state_width());
    return m;
  }
  /// Padded, so that a token's factors lie on a multiple of 16 bytes.
  index_t factors_at() const { return (outputs + 3) / 4 * 4; }
  index_t state_width() const { return factors_at() + (rank + 3) / 4 * 4; }
};

/// The query's states times a head's mixture.
struct mixed_states {
  const float* states;  ///< [queries, rank]
  index_t rank;
  const float* mix;
  index_t mix_stride;

  ROTA_DEVICE float operator()(index_t head, index_t row, index_t k) const {
    return ptx::load(mix + head * mix_stride + k) * ptx::load(states + row * rank + k);
  }
};

/// log2 of the sum over query tokens of a token's exponentials, for one head.
struct query_terms_kernel {
  using product = product_tile<float>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;

  struct arguments {
    state_rows factors;
    split_rows query_rows;
    float* out;  ///< [kv_heads, tokens]
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t first = index_t{ptx::block_x()} * product::tokens, head = ptx::block_y();
    const index_t left = a.factors.count.get(a.fault) - first;
    if (left <= 0) return;
    const int count = static_cast<int>(left < product::tokens ? left : product::tokens);
    softmax_part sums[2];
    for (index_t from = 0; from < a.query_rows.rows; from += split_rows::tile) {
      product_fragments<> logits;
      product{ptx::shared_base()}.multiply(
          logits, [&](int j) { return a.factors.row(first + j); }, count, a.query_rows, head, from);
      ROTA_UNROLL
      for (int j = 0; j < 8; ++j) {
        ROTA_UNROLL
        for (int i = 0; i < 4; ++i)
          if (from + product_fragments<>::row(j, i % 2) < a.query_rows.rows)
            sums[i / 2].add(logits.c[j][i] * log2_e);
      }
    }
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      sums[half].add_lane(1);
      sums[half].add_lane(2);
      const int token = product_fragments<>::token(half);
      if (ptx::lane_index() % 4 == 0 && token < count)
        ptx::store(a.out + head * a.factors.count.capacity + first + token,
                   sums[half].log2_sum() * ln_2);
    }
  }
};

/// What the two kernels below read.
struct relevance_arguments {
  const float* states;  ///< [tokens, width]
  index_t width;
  const float* bias;
  const float* shared_terms;  ///< [kv_heads, tokens], or null
  index_t groups;
  length_ref tokens;
  float* out;
  index_t out_head, out_token;  ///< strides
  std::uint32_t* fault;

  ROTA_DEVICE float relevance(index_t h, index_t token, index_t s) const {
    const index_t output = h * groups + s;
    const float own = ptx::load(states + token * width + output) + ptx::load(bias + output);
    return shared_terms == nullptr ? own
                                   : own + ptx::load(shared_terms + h * tokens.capacity + token);
  }
};

/// Scores of groups, a thread each.
struct group_relevance_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;
  using arguments = relevance_arguments;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index(), h = ptx::block_y();
    const index_t token = i / a.groups, s = i % a.groups;
    if (token >= a.tokens.get(a.fault)) return;
    ptx::store(a.out + h * a.out_head + token * a.out_token + s, a.relevance(h, token, s));
  }
};

/// Scores of tokens: log of the sum over their groups, a thread a token.
struct token_relevance_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;
  using arguments = relevance_arguments;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t token = index_t{ptx::block_x()} * threads + ptx::thread_index();
    const index_t h = ptx::block_y();
    if (token >= a.tokens.get(a.fault)) return;
    softmax_part sum;
    for (index_t s = 0; s < a.groups; ++s) sum.add(a.relevance(h, token, s) * log2_e);
    ptx::store(a.out + h * a.out_head + token, sum.log2_sum() * ln_2);
  }
};

/// Where in device memory the parts of a predictor lie, and how.
template <predictor_form Form, class Context>
status check_predictor_memory(const backend& b, const Context& c) {
  if (status s = check_rows(b, c.hidden, chunk_bytes, "hidden"); !s) return s;
  if (status s = check_rows(b, c.linear, alignof(float), "linear"); !s) return s;
  if (status s = check_rows(b, c.bias, alignof(float), "bias"); !s) return s;
  if constexpr (Form::conditioned) {
    if (status s = check_rows(b, c.query_hidden, chunk_bytes, "query_hidden"); !s) return s;
    if (status s = check_rows(b, c.token_factor, alignof(float), "token_factor"); !s) return s;
    if (status s = check_rows(b, c.query_factor, alignof(float), "query_factor"); !s) return s;
    if (status s = check_rows(b, c.mix, alignof(float), "mix"); !s) return s;
  }
  return {};
}

/// What each head makes of the query tokens, and each token of that: m.shared_terms.
template <class Context>
status score_query_terms(const backend& b, const Context& c, const predictor_memory& m,
                         const length_ref& tokens) {
  const state_rows query{c.query_hidden.data, c.query_hidden.stride[0], {m.queries, nullptr}};
  if (status s = launch_split(b, 1, weight_rows(c.query_factor), m.query_weights); !s) return s;
  if (status s = launch_product(b, query, m.query_weights, m.query_states); !s) return s;
  const mixed_states mixed{m.query_states, m.rank, c.mix.data, c.mix.stride[0]};
  if (status s = launch_split(b, c.kv_heads(), mixed, m.query_rows); !s) return s;
  using product = query_terms_kernel::product;
  return launch<query_terms_kernel>(
      b, {blocks_of(c.tokens(), product::tokens), c.kv_heads()},
      {{m.states + m.factors_at(), m.state_width(), tokens}, m.query_rows, m.shared_terms, b.fault},
      product::shared_bytes);
}

/// Everything but the last kernel, which differs; `a` is what that one reads.
template <predictor_form Form, class Context>
status predict(const backend& b, const Context& c, index_t groups, workspace ws,
               relevance_arguments& a) {
  if (status s = check_predictor<Form>(c, groups); !s) return s;
  if (status s = check_predictor_memory<Form>(b, c); !s) return s;
  carver from(ws);
  const predictor_memory m = predictor_memory::carve<Form>(from, c);
  if (status s = from.check(); !s) return s;
  a.tokens = {c.tokens(), c.device_tokens};
  a.states = m.states;
  a.width = m.state_width();
  a.bias = c.bias.data;
  a.shared_terms = m.shared_terms;
  a.groups = groups;
  a.fault = b.fault;
  const state_rows states{c.hidden.data, c.hidden.stride[0], a.tokens};
  if constexpr (!Form::conditioned) {
    if (status s = launch_split(b, 1, weight_rows(c.linear), m.weights); !s) return s;
    return launch_product(b, states, m.weights, m.states);
  } else {
    const weight_rows both(c.linear, c.token_factor, m.factors_at());
    if (status s = launch_split(b, 1, both, m.weights); !s) return s;
    if (status s = launch_product(b, states, m.weights, m.states); !s) return s;
    return score_query_terms(b, c, m, a.tokens);
  }
}

/// The predictor: what score_groups() calls. Errors besides its own: bad_shape, null_view,
/// bad_stride, wrong_memory and bad_alignment (rows of states on 16 bytes) of "hidden",
/// "query_hidden" and the weights.
template <predictor_form Form, element E, class... Parts>
std::size_t score_whole_groups_workspace_bytes(const backend&, predictor<Form>,
                                               const typename predictor<Form>::params&,
                                               const context<E, Parts...>& c, int width) {
  if (width < 1 || !check_predictor<Form>(c, c.d_v() / width)) return 0;
  carver count;
  predictor_memory::carve<Form>(count, c);
  return count.bytes();
}

template <predictor_form Form, element E, class... Parts>
status score_whole_groups(const backend& b, predictor<Form>,
                          const typename predictor<Form>::params&, const context<E, Parts...>& c,
                          int, const view<float, 3>& out, workspace ws) {
  relevance_arguments a;
  if (status s = predict<Form>(b, c, out.extent[2], ws, a); !s) return s;
  a.out = out.data;
  a.out_head = out.stride[0];
  a.out_token = out.stride[1];
  using kernel = group_relevance_kernel;
  return launch<kernel>(b, {blocks_of(c.tokens() * a.groups, kernel::threads), c.kv_heads()}, a);
}

/// The token predictor: what score_tokens() calls. The number of groups is what the weights were
/// fitted for: linear has kv_heads * S rows.
template <predictor_form Form, element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend&, token_predictor<Form>,
                                               const typename token_predictor<Form>::params&,
                                               const context<E, Parts...>& c) {
  if (!check_predictor<Form>(c, c.linear.extent[0] / c.kv_heads())) return 0;
  carver count;
  predictor_memory::carve<Form>(count, c);
  return count.bytes();
}

template <predictor_form Form, element E, class... Parts>
status score_whole_tokens(const backend& b, token_predictor<Form>,
                          const typename token_predictor<Form>::params&,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  relevance_arguments a;
  if (status s = predict<Form>(b, c, c.linear.extent[0] / c.kv_heads(), ws, a); !s) return s;
  a.out = out.data;
  a.out_head = out.stride[0];
  a.out_token = 0;
  using kernel = token_relevance_kernel;
  return launch<kernel>(b, {blocks_of(c.tokens(), kernel::threads), c.kv_heads()}, a);
}

}  // namespace rota::cuda
