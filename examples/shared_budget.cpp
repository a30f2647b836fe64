// docs/policies.md: one budget over all layers of a model, in numbers, by layer and in bytes.

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

namespace {

constexpr int layers = 4;
constexpr rota::index_t n = 512, kv_heads = 2, d = 64;

using op =
    rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio_in<rota::budget_scope::span>>,
                    rota::groups<rota::value_norm, rota::keep_ratio>, rota::packed<rota::bf16, 16>>;

/// The arrays of one layer, as an engine holds them.
struct layer {
  tutorial::rows<rota::bf16> k, v;
  std::vector<float> token_scores = std::vector<float>(kv_heads * n);
  std::vector<float> group_scores = std::vector<float>(kv_heads * n * 4);
  std::vector<std::int32_t> indices = std::vector<std::int32_t>(kv_heads * n);
  std::vector<rota::group_mask> masks = std::vector<rota::group_mask>(kv_heads * n);
  std::vector<std::int32_t> counts = std::vector<std::int32_t>(kv_heads);

  explicit layer(int number) : k(n, kv_heads, d, 2 * number), v(n, kv_heads, d, 2 * number + 1) {}

  rota::context<rota::bf16> context() const {
    rota::context<rota::bf16> c;
    c.keys = k.view();
    c.values = v.view();
    return c;
  }
  rota::layer_scores scores() {
    return {rota::view<float, 2>(token_scores.data(), kv_heads, n),
            rota::view<float, 3>(group_scores.data(), kv_heads, n, 4)};
  }
  rota::selection kept() {
    rota::selection s;
    s.indices = rota::view<std::int32_t, 2>(indices.data(), kv_heads, n);
    s.masks = rota::view<rota::group_mask, 2>(masks.data(), kv_heads, n);
    s.counts = rota::view<std::int32_t, 1>(counts.data(), kv_heads);
    return s;
  }
};

}  // namespace

int main() {
  const rota::cpu::backend cpu;
  op::params p;
  p.protect = {.sinks = 4, .window = 16};
  p.tokens.budget.ratio = 0.5;
  p.groups.budget.ratio = 0.75;

  std::vector<layer> model;
  model.reserve(layers);
  for (int l = 0; l < layers; ++l) model.emplace_back(l);

  // span: begin
  std::vector<rota::select_problem> problems;
  std::vector<rota::layer_scores> scores;
  std::vector<rota::selection> kept;
  for (int l = 0; l < layers; ++l) {
    const auto ctx = model[l].context();
    problems.push_back(op::problem_of(ctx, p));
    problems.back().place = {.layer = l, .layers = layers};
    scores.push_back(model[l].scores());
    kept.push_back(model[l].kept());
    const buffer ws(op::score_workspace_bytes(cpu, ctx, p));
    require(op::score(cpu, ctx, p, scores[l], ws.workspace()), "score");
  }
  const rota::score_normalization share{.tokens = rota::layer_normalization::layer_mean};
  const buffer normalize_ws(op::normalize_workspace_bytes(cpu, share, problems));
  require(op::normalize(cpu, share, problems, scores, normalize_ws.workspace()), "normalize");
  const buffer select_ws(op::select_workspace_bytes(cpu, problems));
  require(op::select(cpu, problems, p, scores, kept, select_ws.workspace()), "select");
  // span: end

  rota::index_t tokens = 0;
  for (const rota::selection& s : kept)
    for (rota::index_t h = 0; h < kv_heads; ++h) tokens += s.counts(h);
  expect(tokens == layers * kv_heads * n / 2, "half of the tokens of all layers");

  // bytes: begin
  const rota::index_t limit = layers * n * kv_heads * (d + d) * 2 / 4;  // a quarter of dense bf16
  const std::vector<rota::packed_shape> shapes(layers, op::shape_of(kv_heads, d, d, p));
  const buffer fit_ws(rota::fit_ratio_workspace_bytes<op>(cpu, problems));
  double ratio = 0;
  require(rota::fit_ratio<op>(
              cpu, problems, shapes, p, scores, limit,
              [](op::params& q, double r) { q.tokens.budget.ratio = r; }, ratio, kept,
              fit_ws.workspace()),
          "fit_ratio");
  // bytes: end

  rota::index_t bytes = 0;
  for (int l = 0; l < layers; ++l) bytes += rota::packed_sealed_bytes(shapes[l], kept[l]);
  std::printf("ratio %.4f: %lld of %lld bytes\n", ratio, static_cast<long long>(bytes),
              static_cast<long long>(limit));
  expect(bytes <= limit && bytes > limit * 99 / 100,
         "the budget is met, and hardly anything wasted");
  return 0;
}
