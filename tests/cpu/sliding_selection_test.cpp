// Selection under a sliding window: what no later query sees is dropped first.
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/memory.hpp"
#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

constexpr index_t n = 200, heads = 2, d = 16, window = 64;
const cpu::backend cpu_backend;

struct compressed {
  aligned_memory memory{1 << 20};
  packed_store<f32, 8> store;

  template <class Op>
  compressed(const Op&, const context<f32>& c, const typename Op::params& p) {
    store = {memory.data(), static_cast<index_t>(memory.size())};
    const aligned_memory ws(Op::compress_workspace_bytes(cpu_backend, c, p));
    const status s = Op::compress(cpu_backend, c, p, store, ws.workspace());
    REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
  }

  std::vector<index_t> positions(index_t h) const {
    std::vector<index_t> all;
    for (index_t i = 0; i < store.block_count(h); ++i)
      for (index_t j = 0; j < store.block_at(h, i).count; ++j)
        all.push_back(store.block_at(h, i).position(j));
    return all;
  }
};

template <class Store>
std::vector<float> attend_next(Store& store, const std::vector<float>& rows, index_t steps) {
  std::vector<float> out(static_cast<std::size_t>(steps * heads * d));
  for (index_t i = 0; i < steps; ++i) {  // the rows serve as keys, values and queries
    const float* const row = rows.data() + i * heads * d;
    REQUIRE(cpu::append(cpu_backend, store, view(row, 1, heads, d), view(row, 1, heads, d)).ok());
    const attend_item<Store> item{
        view(row, 1, heads, d), &store, view(out.data() + i * heads * d, 1, heads, d), {}};
    attend_params p;
    p.sliding_window = window;
    const std::span<const attend_item<Store>> batch(&item, 1);
    const aligned_memory ws(cpu::attend_workspace_bytes(cpu_backend, batch, p));
    REQUIRE(cpu::attend(cpu_backend, batch, p, ws.workspace()).ok());
  }
  return out;
}

std::vector<index_t> range(index_t first, index_t last) {
  std::vector<index_t> all;
  for (index_t i = first; i < last; ++i) all.push_back(i);
  return all;
}

}  // namespace

TEST_CASE("half of the tokens under a window that sees fewer: all that can be seen, no loss") {
  random_source rng(1);
  random_layer<f32> layer(rng, n, heads, d, d);
  layer.context.sliding_window = window;
  using op = attention<tokens<key_norm, keep_ratio>, packed<f32, 8>>;
  op::params p;
  p.tokens.budget.ratio = 0.5;
  p.protect = {4, 8};  // sinks that nobody sees are not kept
  compressed half(op{}, layer.context, p), whole(attention<packed<f32, 8>>{}, layer.context, {});
  for (index_t h = 0; h < heads; ++h) {
    CHECK(half.positions(h) == range(n + 1 - window, n));
    CHECK(whole.positions(h) == range(n + 1 - window, n));
  }
  context<f32> all = layer.context;
  all.sliding_window = 0;
  compressed dense(attention<packed<f32, 8>>{}, all, {});
  CHECK(dense.positions(0).size() == n);
  std::vector<float> rows;
  for (index_t i = 0; i < 10 * heads * d; ++i) rows.push_back(rng.normal());
  const auto want = attend_next(dense.store, rows, 10), got = attend_next(half.store, rows, 10);
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-5));
}

TEST_CASE("a budget below what can be seen keeps the best of that") {
  random_source rng(2);
  random_layer<f32> layer(rng, n, heads, d, d, true);  // positions with gaps
  layer.context.sliding_window = window;
  using op =
      attention<tokens<window_sink, fixed_k>, groups<value_norm, keep_ratio>, packed<f32, 8>>;
  op::params p;
  p.tokens.budget.k = 20;
  p.groups.budget.ratio = 0.5;
  const compressed few(op{}, layer.context, p);
  const index_t next = layer.positions.back() + 1;
  for (index_t h = 0; h < heads; ++h) {
    const auto kept = few.positions(h);
    CHECK(kept.size() == 20);
    CHECK(kept.front() > next - window);
    CHECK(kept.back() == layer.positions.back());
    CHECK(few.store.head(h).slices == 20);  // half of the survivors' groups
  }
}

TEST_CASE("heads and layers with a window leave their share to the others") {
  random_source rng(3);
  random_layer<f32> layer(rng, n, heads, d, d);
  using op = attention<tokens<key_norm, keep_ratio_in<budget_scope::span>>, packed<f32, 8>>;
  op::params p;
  p.tokens.budget.ratio = 0.5;
  std::vector<float> scores(2 * heads * n);
  for (float& x : scores) x = rng.normal();
  std::vector<select_problem> problems(2, op::problem_of(layer.context, p));
  problems[0].sliding_window = window;
  std::vector<layer_scores> in;
  std::vector<std::int32_t> indices(2 * heads * n), counts(2 * heads);
  std::vector<group_mask> masks(2 * heads * n);
  std::vector<selection> out;
  for (index_t l = 0; l < 2; ++l) {
    in.push_back({view<float, 2>(scores.data() + l * heads * n, heads, n), {}});
    out.push_back({view(indices.data() + l * heads * n, heads, n),
                   view(masks.data() + l * heads * n, heads, n),
                   view(counts.data() + l * heads, heads)});
  }
  const aligned_memory ws(op::select_workspace_bytes(cpu_backend, problems));
  REQUIRE(op::select(cpu_backend, problems, p, in, out, ws.workspace()).ok());
  index_t kept = 0;
  for (const std::int32_t c : counts) kept += c;
  CHECK(kept == heads * n);  // half of all, none of them unseen
  for (index_t h = 0; h < heads; ++h) CHECK(out[0].indices(h, 0) >= n + 1 - window);
}
