#pragma once

#include <rota/cuda/score/column_mass.cuh>
#include <rota/cuda/score/fill_above.cuh>
#include <rota/score/observed_attention.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/tova.hpp>

// Token scorers made of the attention that queries give: what each sums, and what it makes of the
// sums.

namespace rota::cuda {

/// The mass of each token and what a scorer knows of it.
struct mass_scores {
  const float* mass;  ///< [kv_heads, capacity]
  index_t kv_heads, group, queries;
  const token_run* seen;  ///< [queries]: both ends ascend
  const index_t* own;     ///< the first token at or behind the first query
  index_t kernel;         ///< tokens that are averaged
  float* out;
  index_t out_head;  ///< stride
  length_ref tokens;
  std::uint32_t* fault;

  ROTA_DEVICE float at(index_t head, index_t token) const {
    return ptx::load(mass + head * tokens.capacity + token);
  }
  /// Queries that see a token: of the rows, those that reach it less those that begin behind it.
  ROTA_DEVICE index_t seeing(index_t token) const {
    const auto rows = [&](index_t token_run::*end) {
      return tokens_up_to(queries, token, [&](index_t i) { return ptx::load(&(seen[i].*end)); });
    };
    return rows(&token_run::first) - rows(&token_run::last);
  }
  /// Mean over `kernel` tokens around one; tokens outside 0 .. n - 1 count as 0.
  ROTA_DEVICE float pooled(index_t head, index_t token, index_t n) const {
    const index_t reach = kernel / 2;
    const index_t from = token > reach ? token - reach : 0;
    const index_t to = token + reach + 1 < n ? token + reach + 1 : n;
    float sum = 0;
    for (index_t j = from; j < to; ++j) sum += at(head, j);
    return sum / static_cast<float>(kernel);
  }
};

/// What a scorer of attention mass sums and how it ends.
template <class Scorer>
struct mass_scorer;

template <>
struct mass_scorer<tova> {
  template <element Q>
  static mass_queries<Q> queries(const tova::params& p, const window_queries_of<Q>& all) {
    return mass_queries<Q>::last_of(all, 1, p.scale);
  }
  template <class Context>
  static status check(const tova::params& p, const Context&) {
    return check_scale(p.scale);
  }
  static index_t kernel(const tova::params&) { return 1; }
  /// Whether the tokens from the first query on are just above the others.
  static constexpr bool raises_own = true;
  ROTA_DEVICE static float score(const mass_scores& m, index_t, index_t token, index_t) {
    float sum = 0;
    for (index_t h = 0; h < m.kv_heads; ++h) sum += m.at(h, token);
    return sum / static_cast<float>(m.kv_heads * m.group);
  }
};

template <>
struct mass_scorer<snapkv> {
  template <element Q>
  static mass_queries<Q> queries(const snapkv::params& p, const window_queries_of<Q>& all) {
    return mass_queries<Q>::last_of(all, p.window > 1 ? p.window : 1, p.scale);
  }
  template <class Context>
  static status check(const snapkv::params& p, const Context&) {
    if (status s = check_scale(p.scale); !s) return s;
    if (p.window < 1) return {errc::bad_parameter, "window"};
    return check_kernel(p.kernel, "kernel");
  }
  static index_t kernel(const snapkv::params& p) { return p.kernel; }
  static constexpr bool raises_own = true;
  ROTA_DEVICE static float score(const mass_scores& m, index_t head, index_t token, index_t n) {
    const index_t rows = m.queries * m.group, own = m.queries > 0 ? ptx::load(m.own) : n;
    return m.pooled(head, token, own) / static_cast<float>(rows > 0 ? rows : 1);
  }
};

template <>
struct mass_scorer<observed_attention> {
  template <element Q>
  static mass_queries<Q> queries(const observed_attention::params& p,
                                 const window_queries_of<Q>& all) {
    return {all, p.scale};
  }
  template <class Context>
  static status check(const observed_attention::params& p, const Context& c) {
    if (status s = check_scale(p.scale); !s) return s;
    // Where rows have positions, the kernel sees whether the first token's query is among them.
    if (c.query_positions.data == nullptr && c.queries.extent[0] != c.tokens())
      return {errc::bad_shape, "queries"};
    return {};
  }
  static index_t kernel(const observed_attention::params&) { return 1; }
  static constexpr bool raises_own = false;
  ROTA_DEVICE static float score(const mass_scores& m, index_t head, index_t token, index_t) {
    // Rows whose first query does not see the first token are not all there are.
    if (token == 0 && m.queries > 0 && ptx::load(m.own) > 0)
      report(m.fault, errc::bad_shape, culprit::queries);
    const index_t seeing = m.seeing(token);
    return m.at(head, token) /
           (static_cast<float>(m.group) * static_cast<float>(seeing > 1 ? seeing : 1));
  }
};

/// The score of a token, a thread each.
template <class Scorer>
struct mass_scores_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;
  using arguments = mass_scores;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t n = a.tokens.get(a.fault), head = ptx::block_y();
    const index_t token = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (token < n)
      ptx::store(a.out + head * a.out_head + token, mass_scorer<Scorer>::score(a, head, token, n));
  }
};

template <class Scorer>
concept scores_by_mass = requires {
  mass_scorer<Scorer>::raises_own;
};

/// What all heads have made together, as the scores of one: a thread a token.
struct copy_joined_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  struct arguments {
    const float* joined;
    float* out;
    length_ref tokens;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (i < a.tokens.get(a.fault)) ptx::store(a.out + i, ptx::load(a.joined + i));
  }
};

template <class Context>
status launch_copy_joined(const backend& b, const Context& c, const view<float, 2>& out) {
  return launch<copy_joined_kernel>(
      b, {blocks_of(c.tokens(), copy_joined_kernel::threads)},
      {c.joined.data, out.data, {c.tokens(), c.device_tokens}, b.fault});
}

/// Scratch memory of these scorers.
struct attention_tokens_memory {
  mass_memory pass;
  float* mass = nullptr;  ///< [kv_heads, tokens]

  template <class Context, element Q>
  static attention_tokens_memory carve(carver& from, const Context& c, const mass_queries<Q>& q) {
    attention_tokens_memory m;
    m.pass = mass_memory::carve(from, c, q);
    m.mass = from.take<float>(c.kv_heads() * c.tokens());
    return m;
  }
};

/// TOVA, SnapKV and observed attention: what score_tokens() calls. Errors besides its own:
/// bad_parameter of their parameters, and "queries" with bad_shape, null_view, bad_stride,
/// wrong_memory and heads_not_divisible.
template <scores_by_mass Scorer, element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend&, Scorer,
                                               const typename Scorer::params& p,
                                               const context<E, Parts...>& c) {
  carver count;
  attention_tokens_memory::carve(count, c, mass_scorer<Scorer>::queries(p, c));
  return count.bytes();
}

template <scores_by_mass Scorer, element E, class... Parts>
status score_whole_tokens(const backend& b, Scorer, const typename Scorer::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  using scorer = mass_scorer<Scorer>;
  if (status s = check_queries(b, c, out); !s) return s;
  if (status s = scorer::check(p, c); !s) return s;
  const auto queries = scorer::queries(p, c);
  carver from(ws);
  const auto m = attention_tokens_memory::carve(from, c, queries);
  if (status s = from.check(); !s) return s;
  const length_ref tokens{c.tokens(), c.device_tokens};
  if constexpr (std::is_base_of_v<joined_scores, context<E, Parts...>>) {
    if (status s = launch_find_seen(b, c, queries, m.pass); !s) return s;
    if (status s = launch_copy_joined(b, c, out); !s) return s;
  } else {
    if (status s = column_mass(b, c, queries, m.pass, m.mass); !s) return s;
    using kernel = mass_scores_kernel<Scorer>;
    if (status s = launch<kernel>(
            b, {blocks_of(c.tokens(), kernel::threads), c.kv_heads()},
            {m.mass, c.kv_heads(), m.pass.group, m.pass.queries, m.pass.seen, m.pass.own,
             scorer::kernel(p), out.data, out.stride[0], tokens, b.fault});
        !s)
      return s;
  }
  if (!scorer::raises_own) return {};
  // Without queries TOVA's last token is raised all the same.
  const bool any = m.pass.queries > 0;
  const index_t last = std::is_same_v<Scorer, tova> ? 1 : 0;
  return launch_fill_above(
      b, c.kv_heads(),
      {out.data, out.stride[0], 0, last, any ? m.pass.own : nullptr, tokens, b.fault});
}

}  // namespace rota::cuda
