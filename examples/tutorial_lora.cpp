// docs/lora.md: a projection with a routed adapter, for the tokens of a prompt and for a step of
// two sequences that have adapters of their own.

#include <cstdio>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using rota::index_t;
using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

int main() {
  const rota::cpu::backend cpu;
  const index_t in = 256, out = 192, rank = 32, subspaces = 8, prompt = 40;
  const tutorial::rows<float> a(rank, 1, in, 1), b(rank, 1, out, 2), u(subspaces, 1, in, 3);
  const tutorial::rows<float> hidden(prompt, 1, in, 4);
  const float* const x = hidden.data().data();
  std::vector<float> projected(prompt * out), logits(prompt * subspaces);

  // weights: begin
  using form = rota::routed_lora<8, 2>;  // 8 subspaces, the best 2 of them for each token
  rota::lora_weights<float> adapter;
  adapter.down = rota::view<const float, 2>(a.data().data(), rank, in);
  adapter.up = rota::view<const float, 2>(b.data().data(), rank, out);
  adapter.router = rota::view<const float, 2>(u.data().data(), subspaces, in);
  adapter.alpha = 16;
  // weights: end

  // prompt: begin
  rota::lora_item<float> item{adapter, {}, {}, {}};
  item.x = rota::view<const float, 2>(x, prompt, in);
  item.y = rota::view<float, 2>(projected.data(), prompt, out);  // W x on entry
  item.logits = rota::view<float, 2>(logits.data(), prompt, subspaces);
  const buffer ws(rota::cpu::add_lora_workspace_bytes<form>(cpu, item));
  require(rota::cpu::add_lora<form>(cpu, item, ws.workspace()), "add_lora");
  // prompt: end

  std::vector<float> step(2 * out);
  const tutorial::rows<float> other_up(rank, 1, out, 5);
  rota::lora_weights<float> other = adapter;
  other.up = rota::view<const float, 2>(other_up.data().data(), rank, out);
  // batch: begin
  std::vector<rota::lora_item<float>> batch;
  for (const rota::lora_weights<float>& w : {adapter, other}) {
    const auto i = static_cast<index_t>(batch.size());
    batch.push_back({w,
                     rota::view<const float, 2>(x + i * in, 1, in),
                     rota::view<float, 2>(step.data() + i * out, 1, out),
                     {}});
  }
  const std::span<const rota::lora_item<float>> items(batch);
  const buffer more(rota::cpu::add_lora_workspace_bytes<form>(cpu, items));
  require(rota::cpu::add_lora<form>(cpu, items, more.workspace()), "add_lora");
  // batch: end

  for (index_t j = 0; j < out; ++j)
    expect(step[static_cast<std::size_t>(j)] == projected[static_cast<std::size_t>(j)],
           "a token's result depends on itself alone");
  const tutorial::rows<float> w(out, 1, in, 6);
  std::vector<float> whole(prompt * out);
  // project: begin
  using op = rota::attention<rota::projection<form>, rota::packed<rota::bf16, 16>>;
  rota::projection_item<float> query;
  query.dense.weight = rota::view<const float, 2>(w.data().data(), out, in);
  query.part = {adapter,
                rota::view<const float, 2>(x, prompt, in),
                rota::view<float, 2>(whole.data(), prompt, out),
                {}};
  const std::span<const rota::projection_item<float>> all(&query, 1);  // and the key's, the value's
  const buffer memory(op::project_workspace_bytes(cpu, all));
  require(op::project(cpu, all, memory.workspace()), "project");
  // project: end
  expect(whole != projected, "W x is more than nothing");

  // score: begin
  // Eight logits a token, one for each value group of heads of 64 in groups of 8: seen by every
  // kv head alike, so the heads' stride is 0.
  using keep = rota::attention<rota::groups<rota::router<>, rota::fixed_k>>;
  rota::layer_scores scores;
  scores.groups = rota::view<float, 3>(logits.data(), {2, prompt, 8}, {0, 8, 1});
  // score: end
  rota::select_problem problem;
  problem.tokens = prompt;
  problem.kv_heads = 2;
  problem.groups = 8;
  keep::params half;
  half.groups.budget.k = 4;
  std::vector<std::int32_t> indices(2 * prompt), counts(2);
  std::vector<rota::group_mask> masks(2 * prompt);
  rota::selection kept;
  kept.indices = rota::view<std::int32_t, 2>(indices.data(), 2, prompt);
  kept.masks = rota::view<rota::group_mask, 2>(masks.data(), 2, prompt);
  kept.counts = rota::view<std::int32_t, 1>(counts.data(), 2);
  const buffer select_ws(keep::select_workspace_bytes(cpu, std::span(&problem, 1)));
  require(keep::select(cpu, std::span(&problem, 1), half, std::span(&scores, 1),
                       std::span(&kept, 1), select_ws.workspace()),
          "select");
  expect(kept.masks(0, 0) == kept.masks(1, 0), "all heads keep the same groups");

  // merge: begin
  rota::lora_weights<float> plain = adapter;  // without a router: all of its rank for every token
  plain.router = {};
  tutorial::rows<float> merged = w;
  const rota::view<float, 2> dense(merged.view().data, out, in);
  require(rota::merge_lora<rota::plain_lora>(plain, dense), "merge");
  require(rota::unmerge_lora<rota::plain_lora>(plain, dense), "unmerge");
  // merge: end

  int chosen[form::active];
  rota::choose_largest(logits.data(), form::subspaces, form::active, chosen);
  std::printf("the first token uses subspaces %d and %d\n", chosen[0], chosen[1]);
}
