#include <cmath>
#include <cstring>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/counted_new.hpp"
#include "support/memory.hpp"
#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

const cpu::backend cpu_backend;

using both = attention<mean_fill, packed<bf16, 16>, groups<value_norm, global_top_m>,
                       tokens<key_norm, keep_ratio>>;
using tokens_only = attention<tokens<window_sink, keep_ratio>, packed<bf16, 16>>;
using f16_store = attention<groups<value_norm, fixed_k>, packed<f16, 32>>;

both::params both_params() {
  both::params p;
  p.protect = {4, 8};
  p.tokens.budget.ratio = 0.5;
  p.groups.budget.m = 300;
  return p;
}

}  // namespace

TEST_CASE("compress is score, select and pack") {
  random_source rng(1);
  const random_layer<bf16> layer(rng, 200, 2, 64, 64);
  const auto& ctx = layer.context;
  const both::params p = both_params();
  const auto bytes = both::max_store_bytes(ctx, p);
  const aligned_memory a(static_cast<std::size_t>(bytes)), b(static_cast<std::size_t>(bytes));
  std::memset(a.data(), 0, a.size());
  std::memset(b.data(), 0, b.size());
  both::store_type one{a.data(), bytes}, three{b.data(), bytes};
  const aligned_memory ws(both::compress_workspace_bytes(cpu_backend, ctx, p));
  REQUIRE(both::compress(cpu_backend, ctx, p, one, ws.workspace()).ok());

  std::vector<float> token_scores(2 * 200), group_scores(2 * 200 * 4);
  const layer_scores scores{view(token_scores.data(), 2, 200),
                            view(group_scores.data(), 2, 200, 4)};
  random_selection sel(rng, 200, 2, 4, 0, 0);
  REQUIRE(both::score(cpu_backend, ctx, p, scores, ws.workspace()).ok());
  const select_problem problem = both::problem_of(ctx, p);
  REQUIRE(both::select(cpu_backend, {&problem, 1}, p, {&scores, 1}, {&sel.kept, 1}, ws.workspace())
              .ok());
  CHECK(sel.kept.counts(0) == 100);
  CHECK(count_head(sel.kept, 0).groups + count_head(sel.kept, 1).groups == 300);
  REQUIRE(both::pack(cpu_backend, ctx, sel.kept, p, three, ws.workspace()).ok());
  CHECK(one.bytes() == three.bytes());
  CHECK(one.bytes() == both::store_bytes(ctx, sel.kept, p));
  CHECK(one.bytes() <= bytes);
  CHECK(std::memcmp(one.data, three.data, static_cast<std::size_t>(one.sealed_bytes())) == 0);
}

TEST_CASE("compressing refuses bad input and leaves the store alone") {
  random_source rng(2);
  const random_layer<bf16> layer(rng, 100, 2, 64, 64);
  const auto& ctx = layer.context;
  const both::params p = both_params();
  const auto bytes = both::max_store_bytes(ctx, p);
  const aligned_memory memory(static_cast<std::size_t>(bytes));
  std::memset(memory.data(), 0x5a, memory.size());
  both::store_type store{memory.data(), bytes};
  const aligned_memory ws(both::compress_workspace_bytes(cpu_backend, ctx, p));
  const auto refused = [&](errc want, const auto& c, const both::params& with, workspace scratch) {
    CHECK(both::compress(cpu_backend, c, with, store, scratch).code == want);
    for (std::size_t i = 0; i < memory.size(); ++i)
      if (memory.data()[i] != std::byte{0x5a}) FAIL("the store was written");
  };
  const workspace good = ws.workspace();
  both::params bad = p;
  bad.tokens.budget.ratio = -0.1;
  refused(errc::bad_ratio, ctx, bad, good);
  bad.tokens.budget.ratio = std::nan("");
  refused(errc::bad_ratio, ctx, bad, good);
  bad = p;
  bad.tokens.budget.ratio = 0.1;
  refused(errc::budget_too_small, ctx, bad, good);
  bad = p;
  bad.groups.budget.m = 2 * 12 * 4 - 1;
  refused(errc::budget_too_small, ctx, bad, good);
  bad = p;
  bad.protect.sinks = -1;
  refused(errc::bad_count, ctx, bad, good);
  bad = p;
  bad.store.tail_capacity = -1;
  refused(errc::bad_count, ctx, bad, good);
  refused(errc::workspace_too_small, ctx, p, {good.data, good.bytes - 1});
  refused(errc::workspace_too_small, ctx, p, {nullptr, good.bytes});
  auto odd = ctx;
  odd.values.extent[2] = 40;
  refused(errc::bad_group_width, odd, p, good);
  auto null = ctx;
  null.keys.data = nullptr;
  refused(errc::null_view, null, p, good);
  store.capacity_bytes = 4096;
  refused(errc::store_too_small, ctx, p, good);
  store.capacity_bytes = bytes;
  CHECK(both::compress(cpu_backend, ctx, p, store, good).ok());
}

TEST_CASE("an empty context compresses to an empty store that can be appended to") {
  random_source rng(3);
  const random_layer<bf16> nothing(rng, 0, 2, 64, 64), one(rng, 1, 2, 64, 64);
  const both::params p = both_params();
  const auto bytes = both::max_store_bytes(nothing.context, p);
  const aligned_memory memory(static_cast<std::size_t>(bytes));
  both::store_type store{memory.data(), bytes};
  const aligned_memory ws(both::compress_workspace_bytes(cpu_backend, nothing.context, p));
  REQUIRE(both::compress(cpu_backend, nothing.context, p, store, ws.workspace()).ok());
  CHECK(store.next_position() == 0);
  CHECK(both::append(cpu_backend, store, one.context.keys, one.context.values).ok());
  CHECK(store.next_position() == 1);
}

TEST_CASE("operators do not allocate, also when chosen at run time") {
  using ops = any_op<both, tokens_only, f16_store>;
  static_assert(
      std::is_same_v<ops::store_type, any_store<packed_store<bf16, 16>, packed_store<f16, 32>>>);
  random_source rng(4);
  const random_layer<bf16> layer(rng, 300, 2, 64, 64), token(rng, 1, 2, 64, 64);
  const auto& ctx = layer.context;
  tokens_only::params t;
  t.tokens.budget.ratio = 0.25;
  f16_store::params f;
  f.groups.budget.k = 1;
  const ops layers[] = {ops::of<both>(both_params()), ops::of<tokens_only>(t),
                        ops::of<f16_store>(f)};
  std::vector<float> q(4 * 64, 0.5f), out(4 * 64);
  cpu::thread_pool pool(2);
  const cpu::backend threads = pool.get_backend();

  index_t previous = 0;
  for (const ops& op : layers) {
    const auto bytes = op.max_store_bytes(ctx);
    const aligned_memory memory(static_cast<std::size_t>(bytes));
    const aligned_memory ws(op.compress_workspace_bytes(threads, ctx));
    const aligned_memory attend_memory(1 << 16);
    ops::store_type store;
    const long before = allocations;
    REQUIRE(op.compress(threads, ctx, memory.data(), bytes, store, ws.workspace()).ok());
    REQUIRE(append(threads, store, token.context.keys, token.context.values).ok());
    const view<const float, 3> query = view<const float, 3>(q.data(), 1, 4, 64);
    const view<float, 3> result = view(out.data(), 1, 4, 64);
    REQUIRE(attend_workspace_bytes(threads, query, store, result, {}, {}) <= attend_memory.size());
    REQUIRE(attend(threads, query, store, result, {}, {}, attend_memory.workspace()).ok());
    CHECK(allocations == before);
    CHECK(store.next_position() == 301);
    const aligned_memory other(static_cast<std::size_t>(2 * bytes));
    const aligned_memory again(op.reroute_workspace_bytes(threads, store, ctx));
    ops::store_type routed;
    REQUIRE(
        op.reroute(threads, store, ctx, other.data(), 2 * bytes, routed, again.workspace()).ok());
    CHECK(routed.next_position() == 301);
    CHECK(store.bytes() != previous);
    previous = store.bytes();
  }
}

TEST_CASE("compressing into or out of its own workspace is refused") {
  random_source rng(7);
  using op = attention<tokens<key_norm, keep_ratio>, packed<f32, 16>>;
  random_layer<f32> layer(rng, 200, 2, 64, 64);
  const auto& ctx = layer.context;
  const op::params p;
  const cpu::backend one;
  const std::size_t bytes = op::compress_workspace_bytes(one, ctx, p);
  const auto store_bytes = static_cast<std::size_t>(op::max_store_bytes(ctx, p));
  const aligned_memory memory(bytes + store_bytes);
  op::store_type store{memory.data(), static_cast<index_t>(store_bytes)};
  const std::vector<f32> before = layer.keys;
  CHECK(op::compress(one, ctx, p, store, {layer.keys.data(), layer.keys.size() * sizeof(f32)}) ==
        errc::overlapping_memory);
  CHECK(layer.keys == before);
  CHECK(op::compress(one, ctx, p, store, {memory.data(), bytes}) == errc::overlapping_memory);
}
