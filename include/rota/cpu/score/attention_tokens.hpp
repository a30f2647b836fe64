#pragma once

#include <rota/cpu/score/column_mass.hpp>
#include <rota/score/observed_attention.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/tova.hpp>

// Token scorers made of the attention that queries give: what each sums, and what it makes of the
// sums. Errors besides score_tokens()'s own: bad_parameter of their parameters, and "queries" with
// bad_shape, null_view, bad_stride and heads_not_divisible.

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace score_detail {

/// The queries that each scorer sums over.
template <element Q>
mass_queries<Q> queries_of(const tova::params& p, const window_queries_of<Q>& all) {
  return mass_queries<Q>::last_of(all, 1, p.scale);
}
template <element Q>
mass_queries<Q> queries_of(const snapkv::params& p, const window_queries_of<Q>& all) {
  return mass_queries<Q>::last_of(all, std::max<index_t>(1, p.window), p.scale);
}
template <element Q>
mass_queries<Q> queries_of(const observed_attention::params& p, const window_queries_of<Q>& all) {
  return {all, p.scale};
}

template <class Context>
status check_attention_tokens(const tova::params& p, const Context&) {
  return check_scale(p.scale);
}
template <class Context>
status check_attention_tokens(const snapkv::params& p, const Context&) {
  if (status s = check_scale(p.scale); !s) return s;
  if (p.window < 1) return {errc::bad_parameter, "window"};
  return check_kernel(p.kernel, "kernel");
}
template <class Context>
status check_attention_tokens(const observed_attention::params& p, const Context& c) {
  if (status s = check_scale(p.scale); !s) return s;
  const index_t n = c.tokens(), rows = c.queries.extent[0];
  const bool all = c.query_positions.data == nullptr ? rows == n
                   : rows > 0 && n > 0               ? c.query_positions(0) <= c.position(0)
                                                     : n == 0;
  if (!all) return {errc::bad_shape, "queries"};
  return {};
}

/// The tokens of a head from `own` on get a finite score just above all others.
inline void raise_own(float* scores, index_t own, index_t n) {
  if (own < n) std::fill(scores + own, scores + n, score_above(scores, own));
}

// Each turns the sums in out [kv_heads, tokens] into its scores; `copy` [tokens].

template <class Context, element Q>
void finish_mass(const tova::params&, const Context& c, const mass_queries<Q>& q,
                 const mass_memory&, const view<float, 2>& out, float*) {
  const index_t n = c.tokens(), heads = c.kv_heads();
  const auto q_heads = static_cast<float>(q.queries.extent[1]);
  for (index_t i = 0; i < n; ++i) {
    float sum = 0;
    for (index_t h = 0; h < heads; ++h) sum += out(h, i);
    for (index_t h = 0; h < heads; ++h) out(h, i) = sum / q_heads;
  }
  const index_t own = q.rows() > 0 ? first_own_token(c, q) : n - 1;
  for (index_t h = 0; h < heads; ++h) raise_own(out.row(h), own, n);
}

template <class Context, element Q>
void finish_mass(const snapkv::params& p, const Context& c, const mass_queries<Q>& q,
                 const mass_memory& m, const view<float, 2>& out, float* copy) {
  const index_t before = first_own_token(c, q);
  for (index_t h = 0; h < c.kv_heads(); ++h) {
    float* const x = out.row(h);
    for (index_t i = 0; i < before; ++i) x[i] /= static_cast<float>(std::max<index_t>(1, m.rows));
    average_pool(x, before, p.kernel, copy);
    raise_own(x, before, c.tokens());
  }
}

template <class Context, element Q>
void finish_mass(const observed_attention::params&, const Context& c, const mass_queries<Q>& q,
                 const mass_memory& m, const view<float, 2>& out, float*) {
  const index_t group = q.queries.extent[1] / c.kv_heads();
  // Both ends of what rows see ascend: rows reached - passed of them see token i.
  index_t reached = 0, passed = 0;
  for (index_t i = 0; i < c.tokens(); ++i) {
    while (reached < q.rows() && m.seen[reached].last <= i) ++reached;
    while (passed < q.rows() && m.seen[passed].first <= i) ++passed;
    const auto seeing = static_cast<float>(std::max<index_t>(1, passed - reached));
    for (index_t h = 0; h < c.kv_heads(); ++h) out(h, i) /= static_cast<float>(group) * seeing;
  }
}

template <class Scorer>
concept attention_tokens = std::same_as<Scorer, tova> || std::same_as<Scorer, snapkv> ||
    std::same_as<Scorer, observed_attention>;

struct attention_tokens_memory {
  mass_memory pass;
  float* copy = nullptr;  ///< [tokens]

  template <class Context, element Q>
  static attention_tokens_memory carve(carver& from, const backend& b, const Context& c,
                                       const mass_queries<Q>& q) {
    attention_tokens_memory m;
    m.pass = mass_memory::carve(from, b, c, q);
    m.copy = from.take<float>(c.tokens());
    return m;
  }
};

}  // namespace score_detail
}  // namespace ROTA_CPU_ISA

template <score_detail::attention_tokens Scorer, element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend& b, Scorer,
                                               const typename Scorer::params& p,
                                               const context<E, Parts...>& c) {
  carver count;
  score_detail::attention_tokens_memory::carve(count, b, c, score_detail::queries_of(p, c));
  return count.bytes();
}

template <score_detail::attention_tokens Scorer, element E, class... Parts>
status score_whole_tokens(const backend& b, Scorer, const typename Scorer::params& p,
                          const context<E, Parts...>& c, const view<float, 2>& out, workspace ws) {
  namespace sd = score_detail;
  if (status s = sd::check_queries(c, out); !s) return s;
  if (status s = sd::check_attention_tokens(p, c); !s) return s;
  const auto queries = sd::queries_of(p, c);
  carver from(ws);
  const auto m = sd::attention_tokens_memory::carve(from, b, c, queries);
  if (status s = from.check(); !s) return s;
  if (c.tokens() == 0) return {};
  if constexpr (std::is_base_of_v<joined_scores, context<E, Parts...>>) {
    for (index_t i = 0; i < c.tokens(); ++i) out(0, i) = c.joined(i);
    sd::raise_own(out.row(0), sd::first_own_token(c, queries), c.tokens());
    return {};
  }
  sd::column_mass(b, c, queries, m.pass, out);
  sd::finish_mass(p, c, queries, m.pass, out, m.copy);
  return {};
}

}  // namespace rota::cpu
