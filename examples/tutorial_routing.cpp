// docs/adapt.md: values kept by a learned router, with a learned stand-in for the rest; types of
// tokens with budgets of their own; a basis folded into the weights.

#include <cstdio>
#include <cstdlib>
#include <vector>

#include <rota/basis/fold.hpp>
#include <rota/basis/hadamard.hpp>
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using rota::index_t;
using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

int main() {
  const rota::cpu::backend cpu;
  const index_t n = 300, kv_heads = 2, groups = 8, d = 64, hidden = 96, rank = 8;
  const tutorial::rows<rota::bf16> keys(n, kv_heads, d, 1), values(n, kv_heads, d, 2);
  const tutorial::rows<float> states(n, 1, hidden, 3), router(kv_heads * groups, 1, hidden, 4),
      bias(1, 1, kv_heads * groups, 5), encode(kv_heads, rank, d, 6), decode(kv_heads, rank, d, 7);

  // compress: begin
  using op = rota::attention<rota::groups<rota::router<>, rota::adaptive_span>,
                             rota::packed<rota::bf16, 8>, rota::low_rank_fill<8>>;
  rota::context<rota::bf16, rota::layer_states, rota::router_weights, rota::fill_codec> ctx;
  ctx.keys = keys.view();
  ctx.values = values.view();
  ctx.layer_hidden = rota::view<const float, 2>(states.data().data(), n, hidden);
  ctx.router = rota::view<const float, 2>(router.data().data(), kv_heads * groups, hidden);
  ctx.router_bias = rota::view<const float, 1>(bias.data().data(), kv_heads * groups);
  ctx.encode = encode.view();
  ctx.decode = decode.view();
  op::params p;
  p.protect = {.sinks = 4, .window = 16};
  p.groups.budget.tau = 0;  // calibrated on other texts: adapt does it
  const buffer memory(op::max_store_bytes(ctx, p));
  const buffer scratch(op::compress_workspace_bytes(cpu, ctx, p));
  op::store_type store{memory.data(), memory.size()};
  require(op::compress(cpu, ctx, p, store, scratch.workspace()), "compress");
  // compress: end
  const index_t dense = 2 * n * kv_heads * d * static_cast<index_t>(sizeof(rota::bf16));
  std::printf("%lld of %lld bytes\n", static_cast<long long>(store.sealed_bytes()),
              static_cast<long long>(dense));
  expect(store.sealed_bytes() < dense, "groups were dropped");

  // types: begin
  using by_type = rota::attention<rota::groups<rota::value_norm, rota::k_by_type<2>>>;
  std::vector<std::uint8_t> types(n, 0);                                     // 0: instructions
  for (index_t i = 100; i < n; ++i) types[static_cast<std::size_t>(i)] = 1;  // 1: a document
  rota::select_problem problem;
  problem.tokens = n;
  problem.kv_heads = kv_heads;
  problem.groups = groups;
  problem.types = rota::view<const std::uint8_t, 1>(types.data(), n);
  by_type::params budgets;
  budgets.groups.budget.k = {6, 2};  // groups a token, by its type
  // types: end
  rota::context<rota::bf16> plain;
  plain.keys = ctx.keys;
  plain.values = ctx.values;
  std::vector<float> scores(kv_heads * n * groups);
  rota::layer_scores scored;
  scored.groups = rota::view<float, 3>(scores.data(), kv_heads, n, groups);
  const buffer score_ws(
      rota::cpu::score_groups_workspace_bytes(cpu, rota::value_norm{}, {}, plain, 8));
  require(rota::cpu::score_groups(cpu, rota::value_norm{}, {}, plain, 8, scored.groups,
                                  score_ws.workspace()),
          "score");
  std::vector<std::int32_t> indices(kv_heads * n), counts(kv_heads);
  std::vector<rota::group_mask> masks(kv_heads * n);
  rota::selection kept;
  kept.indices = rota::view<std::int32_t, 2>(indices.data(), kv_heads, n);
  kept.masks = rota::view<rota::group_mask, 2>(masks.data(), kv_heads, n);
  kept.counts = rota::view<std::int32_t, 1>(counts.data(), kv_heads);
  const buffer ws(by_type::select_workspace_bytes(cpu, std::span(&problem, 1)));
  require(by_type::select(cpu, std::span(&problem, 1), budgets, std::span(&scored, 1),
                          std::span(&kept, 1), ws.workspace()),
          "select");
  expect(__builtin_popcount(kept.masks(0, 50)) == 6, "an instruction keeps six groups");
  expect(__builtin_popcount(kept.masks(1, 250)) == 2, "a token of the document keeps two");

  const index_t q_heads = 4;
  tutorial::rows<float> w_v(kv_heads * d, 1, hidden, 8), b_v(1, 1, kv_heads * d, 9),
      w_o(hidden, 1, q_heads * d, 10);
  // basis: begin
  std::vector<float> r(kv_heads * d * d);
  const rota::view<float, 3> basis(r.data(), kv_heads, d, d);
  const rota::view<float, 2> v_weight(w_v.view().data, kv_heads * d, hidden),
      v_bias(b_v.view().data, 1, kv_heads * d), o_weight(w_o.view().data, hidden, q_heads * d);
  require(rota::hadamard_basis(basis), "basis");  // or cpu::pca_basis, cpu::random_basis
  require(rota::fold_columns<float>(basis, v_weight), "W_V");
  require(rota::fold_rows<float>(basis, v_bias), "b_V");
  require(rota::fold_rows<float>(basis, o_weight), "W_O");
  // basis: end
}
