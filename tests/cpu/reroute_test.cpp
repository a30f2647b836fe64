#include <cstring>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/memory.hpp"
#include "support/policies.hpp"
#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

const cpu::backend cpu_backend;

template <class Op>
struct owned_store {
  aligned_memory memory;
  typename Op::store_type store;
  explicit owned_store(index_t bytes) : memory(static_cast<std::size_t>(bytes)) {
    store.data = memory.data();
    store.capacity_bytes = bytes;
  }
};

template <class Op, class Context>
void compress_into(owned_store<Op>& to, const Context& ctx, const typename Op::params& p) {
  const aligned_memory ws(Op::compress_workspace_bytes(cpu_backend, ctx, p));
  const status s = Op::compress(cpu_backend, ctx, p, to.store, ws.workspace());
  REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
}

template <class Op>
status reroute_into(owned_store<Op>& to, const owned_store<Op>& from,
                    const typename Op::params& p) {
  const context<typename Op::element_type> no_parts;
  const aligned_memory ws(Op::reroute_workspace_bytes(cpu_backend, from.store, no_parts, p));
  return Op::reroute(cpu_backend, from.store, no_parts, p, to.store, ws.workspace());
}

template <class Op>
std::vector<float> attend_once(const owned_store<Op>& s, index_t q_heads) {
  random_source rng(99);
  std::vector<float> q(static_cast<std::size_t>(q_heads * s.store.d_k()));
  std::vector<float> out(static_cast<std::size_t>(q_heads * s.store.d_v()));
  for (float& x : q) x = rng.normal();
  const attend_item<typename Op::store_type> item{view(q.data(), 1, q_heads, s.store.d_k()),
                                                  &s.store,
                                                  view(out.data(), 1, q_heads, s.store.d_v()),
                                                  {}};
  const aligned_memory ws(Op::attend_workspace_bytes(cpu_backend, {&item, 1}, {}));
  REQUIRE(Op::attend(cpu_backend, item, {}, ws.workspace()).ok());
  return out;
}

}  // namespace

TEST_CASE("re-routing that keeps everything changes nothing that attention sees") {
  random_source rng(1);
  using op = attention<groups<value_norm, keep_ratio>, packed<f32, 8>, mean_fill>;
  const random_layer<f32> layer(rng, 150, 2, 16, 32, true);
  random_layer<f32> more(rng, 20, 2, 16, 32);
  op::params p;
  p.groups.budget.ratio = 0.5;
  p.store.tail_capacity = 20;
  owned_store<op> a(op::max_store_bytes(layer.context, p));
  compress_into<op>(a, layer.context, p);
  // An engine's own rows are rarely views of const.
  REQUIRE(op::append(cpu_backend, a.store, view(more.keys.data(), 20, 2, 16),
                     view(more.values.data(), 20, 2, 32))
              .ok());

  op::params keep = p;
  keep.groups.budget.ratio = 1;
  owned_store<op> b(a.store.bytes() + 100000);
  REQUIRE(reroute_into<op>(b, a, keep).ok());
  CHECK(b.store.next_position() == a.store.next_position());
  CHECK(b.store.tail_count() == 0);
  for (index_t h = 0; h < 2; ++h) {
    CHECK(b.store.head(h).tokens == 170);
    CHECK(b.store.head(h).slices == a.store.head(h).slices + 20 * 4);
    for (index_t c = 0; c < 32; ++c)
      CHECK(b.store.means(h)[c] == doctest::Approx(a.store.means(h)[c]).epsilon(1e-5));
  }
  const std::vector<float> before = attend_once<op>(a, 4), after = attend_once<op>(b, 4);
  for (std::size_t i = 0; i < before.size(); ++i)
    CHECK(after[i] == doctest::Approx(before[i]).epsilon(1e-4));
}

TEST_CASE("decoding under a memory cap: the tail is re-routed when it is full") {
  random_source rng(2);
  using op = attention<tokens<key_norm, fixed_k>, groups<value_norm, fixed_k>, packed<bf16, 16>>;
  const random_layer<bf16> prompt(rng, 100, 2, 64, 64);
  op::params p;
  p.protect = {2, 8};
  p.tokens.budget.k = 48;
  p.groups.budget.k = 2;
  p.store.tail_capacity = 16;
  const index_t cap = op::max_store_bytes(prompt.context, p);
  owned_store<op> current(cap);
  compress_into<op>(current, prompt.context, p);

  for (position_t position = 100; position < 300; ++position) {
    const random_layer<bf16> token(rng, 1, 2, 64, 64);
    status s = op::append(cpu_backend, current.store, token.context.keys, token.context.values);
    if (s == errc::tail_full) {
      owned_store<op> next(cap);
      REQUIRE(reroute_into<op>(next, current, p).ok());
      for (index_t h = 0; h < 2; ++h) {
        CHECK(next.store.head(h).tokens == 48);
        const block<bf16> last = next.store.block_at(h, next.store.block_count(h) - 1);
        CHECK(last.position(last.count - 1) == position - 1);
        CHECK(last.position(last.count - 8) == position - 8);
        CHECK(next.store.block_at(h, 0).position(1) == 1);
      }
      std::memcpy(current.memory.data(), next.memory.data(), next.memory.size());
      s = op::append(cpu_backend, current.store, token.context.keys, token.context.values);
    }
    REQUIRE(s.ok());
    CHECK(current.store.next_position() == position + 1);
    CHECK(current.store.bytes() <= cap);
  }
}

TEST_CASE("groups that are gone stay gone") {
  random_source rng(3);
  using op = attention<groups<value_norm, fixed_k>, packed<bf16, 16>>;
  const random_layer<bf16> layer(rng, 64, 2, 16, 64);
  op::params p;
  p.groups.budget.k = 1;
  owned_store<op> a(op::max_store_bytes(layer.context, p));
  compress_into<op>(a, layer.context, p);
  CHECK(a.store.head(0).slices == 64);
  p.groups.budget.k = 3;
  owned_store<op> b(op::max_store_bytes(layer.context, p));
  REQUIRE(reroute_into<op>(b, a, p).ok());
  CHECK(b.store.head(0).slices == 64);
  CHECK(b.store.head(1).slices == 64);
}

TEST_CASE("query heads that do not divide are refused before heads are cut apart") {
  random_source rng(6);
  using op = attention<groups<attention_mass, keep_ratio>, packed<bf16, 16>>;
  const random_layer<bf16> layer(rng, 64, 2, 16, 32);
  context<bf16, window_queries> ctx;
  ctx.keys = layer.context.keys;
  ctx.values = layer.context.values;
  const std::vector<float> queries(3 * 4 * 16, 0.5f);
  ctx.queries = view<const float, 3>(queries.data(), 3, 4, 16);
  const op::params p;
  owned_store<op> a(op::max_store_bytes(ctx, p)), b(op::max_store_bytes(ctx, p));
  compress_into<op>(a, ctx, p);
  const aligned_memory ws(op::reroute_workspace_bytes(cpu_backend, a.store, ctx, p));
  CHECK(op::reroute(cpu_backend, a.store, ctx, p, b.store, ws.workspace()).ok());
  ctx.queries = view<const float, 3>(queries.data(), 3, 3, 16);
  CHECK(op::reroute_workspace_bytes(cpu_backend, a.store, ctx, p) == 0);
  CHECK(op::reroute(cpu_backend, a.store, ctx, p, b.store, ws.workspace()) ==
        errc::heads_not_divisible);
}

TEST_CASE("a ratio of groups means the same however often a store is re-routed") {
  random_source rng(5);
  using op = attention<groups<value_norm, keep_ratio>, packed<bf16, 16>>;
  const random_layer<bf16> layer(rng, 64, 2, 16, 64);
  op::params p;
  p.groups.budget.ratio = 0.5;
  owned_store<op> a(op::max_store_bytes(layer.context, p));
  compress_into<op>(a, layer.context, p);
  owned_store<op> b(op::max_store_bytes(layer.context, p));
  REQUIRE(reroute_into<op>(b, a, p).ok());
  for (index_t h = 0; h < 2; ++h) {
    CHECK(a.store.head(h).slices == 128);
    CHECK(b.store.head(h).slices == 128);
  }
}

TEST_CASE("floors and pyramids hold when a store is re-routed") {
  random_source rng(8);
  random_layer<bf16> layer(rng, 100, 2, 16, 32);
  for (std::size_t i = 0; i < layer.keys.size(); ++i)  // key_norm likes the first head's less
    if (i / 16 % 2 == 0) layer.keys[i] = bf16(100 * static_cast<float>(layer.keys[i]));
  using whole = attention<packed<bf16, 16>>;
  whole::params all;
  owned_store<whole> a(whole::max_store_bytes(layer.context, all));
  compress_into<whole>(a, layer.context, all);

  using adaptive = attention<tokens<key_norm, head_adaptive>, packed<bf16, 16>>;
  adaptive::params p;
  p.tokens.budget.ratio = 0.4;
  const context<bf16> no_parts;
  const aligned_memory ws(adaptive::reroute_workspace_bytes(cpu_backend, a.store, no_parts, p));
  owned_store<whole> b(a.store.bytes());
  REQUIRE(adaptive::reroute(cpu_backend, a.store, no_parts, p, b.store, ws.workspace()).ok());
  CHECK(b.store.head(0).tokens == 8);  // a fifth of the mean
  CHECK(b.store.head(1).tokens == 72);

  using steep = attention<tokens<key_norm, pyramid>, packed<bf16, 16>>;
  steep::params q;
  q.tokens.budget = {0.4, 0, 4, 10};  // 76 to 4
  for (index_t l = 0; l < 3; ++l) {
    q.place = {l, 3};
    REQUIRE(steep::reroute(cpu_backend, a.store, no_parts, q, b.store, ws.workspace()).ok());
    for (index_t h = 0; h < 2; ++h)
      CHECK(static_cast<index_t>(b.store.head(h).tokens) == 76 - 36 * l);
  }
}

TEST_CASE("floors and pyramids hold under a cap of bytes") {
  random_source rng(8);
  random_layer<bf16> layer(rng, 100, 2, 16, 32);
  for (std::size_t i = 0; i < layer.keys.size(); ++i)  // key_norm likes the first head's less
    if (i / 16 % 2 == 0) layer.keys[i] = bf16(100 * static_cast<float>(layer.keys[i]));
  using whole = attention<packed<bf16, 16>>;
  whole::params all;
  all.store.tail_capacity = 0;
  owned_store<whole> a(whole::max_store_bytes(layer.context, all));
  compress_into<whole>(a, layer.context, all);
  const context<bf16> no_parts;
  owned_store<whole> b(a.store.bytes());
  const auto reroute_within = [&]<class Op>(Op, const typename Op::params& p, index_t cap) {
    const aligned_memory ws(
        Op::reroute_within_workspace_bytes(cpu_backend, a.store, no_parts, p, cap));
    REQUIRE(
        Op::reroute_within(cpu_backend, a.store, no_parts, p, cap, b.store, ws.workspace()).ok());
    CHECK(b.store.bytes() <= cap);
  };

  using adaptive = attention<tokens<key_norm, head_adaptive>, packed<bf16, 16>>;
  adaptive::params p;
  p.store = all.store;
  for (const index_t share : {2, 3, 4}) {
    reroute_within(adaptive{}, p, a.store.bytes() / share);
    const auto first = static_cast<index_t>(b.store.head(0).tokens);
    const auto second = static_cast<index_t>(b.store.head(1).tokens);
    CHECK(first == (first + second) / 2 / 5);  // a fifth of the mean, not nothing
    CHECK(second > 4 * first);
  }

  using steep = attention<tokens<key_norm, pyramid>, packed<bf16, 16>>;
  steep::params q;
  q.store = all.store;
  q.tokens.budget = {0.4, 0, 4, 10};  // 76 to 4
  q.place = {2, 3};
  reroute_within(steep{}, q, a.store.bytes() / 2);
  for (index_t h = 0; h < 2; ++h) CHECK(b.store.head(h).tokens == 4);  // below the cap already
  q.place = {0, 3};
  reroute_within(steep{}, q, a.store.bytes() / 2);
  for (index_t h = 0; h < 2; ++h) {
    CHECK(b.store.head(h).tokens < 76);
    CHECK(b.store.head(h).tokens > 20);
  }
}

TEST_CASE("caps, tails and lengths near 2^63 overflow nothing") {
  random_source rng(11);
  const random_layer<bf16> layer(rng, 40, 2, 16, 32);
  using op = attention<tokens<key_norm, keep_ratio>, packed<bf16, 16>>;
  const op::params p;
  owned_store<op> a(op::max_store_bytes(layer.context, p));
  compress_into<op>(a, layer.context, p);
  const context<bf16> no_parts;
  for (const index_t cap : {INT64_MAX, INT64_MAX - 100, index_t{1} << 62}) {
    const std::size_t bytes =
        op::reroute_within_workspace_bytes(cpu_backend, a.store, no_parts, p, cap);
    CHECK(bytes > std::size_t{1} << 32);  // an upper bound that did not wrap
    CHECK(bytes < std::size_t{1} << 50);
  }
  for (const index_t tail : {INT64_MAX, INT64_MAX / 64, index_t{INT32_MAX} + 1}) {
    op::params q = p;
    q.store.tail_capacity = tail;
    CHECK(op::max_store_bytes(layer.context, q) == 0);
    CHECK(op::reroute_workspace_bytes(cpu_backend, a.store, no_parts, q) == 0);
    const aligned_memory ws(op::compress_workspace_bytes(cpu_backend, layer.context, p));
    owned_store<op> to(a.store.bytes());
    const status s = op::compress(cpu_backend, layer.context, q, to.store, ws.workspace());
    CHECK(s == errc::bad_count);
    CHECK(std::strcmp(s.argument, "tail_capacity") == 0);
  }
  for (const index_t n : {INT64_MAX, index_t{INT32_MAX} + 1})
    CHECK(packed_bytes_bound(op::shape_of(layer.context, p), n) == 0);
}

TEST_CASE("a budget knows the heads of a store that is routed again") {
  random_source rng(10);
  const random_layer<bf16> layer(rng, 80, 4, 16, 32);
  using op =
      attention<tokens<key_norm, by_head>, groups<value_norm, rows_by_head>, packed<bf16, 16>>;
  op::params p;
  p.tokens.budget.least = 0;
  p.groups.budget.least = 0;
  p.place = {1, 2};
  owned_store<op> a(op::max_store_bytes(layer.context, p));
  compress_into<op>(a, layer.context, p);
  owned_store<op> b(op::max_store_bytes(layer.context, p));
  REQUIRE(reroute_into<op>(b, a, p).ok());
  for (index_t h = 0; h < 4; ++h) {
    const index_t first = 80 * (5 + h) / 8;  // heads 4 to 7 of 8
    CHECK(static_cast<index_t>(a.store.head(h).tokens) == first);
    CHECK(static_cast<index_t>(b.store.head(h).tokens) == first * (5 + h) / 8);
    CHECK(b.store.head(h).slices == b.store.head(h).tokens * static_cast<unsigned>(h == 3 ? 2 : 1));
  }
}

TEST_CASE("re-routing refuses bad input and leaves both stores alone") {
  random_source rng(4);
  using op = attention<tokens<key_norm, keep_ratio>, packed<bf16, 16>>;
  const random_layer<bf16> layer(rng, 64, 1, 16, 32);
  op::params p;
  owned_store<op> a(op::max_store_bytes(layer.context, p));
  compress_into<op>(a, layer.context, p);
  const std::vector<std::byte> before(a.memory.data(), a.memory.data() + a.memory.size());
  const context<bf16> no_parts;
  const std::size_t bytes = cpu::reroute_workspace_bytes<op>(cpu_backend, a.store, no_parts, p);
  const aligned_memory ws(bytes);

  owned_store<op> b(a.store.bytes());
  const auto run = [&](const op::params& with, op::store_type& to, workspace scratch) {
    return cpu::reroute<op>(cpu_backend, a.store, no_parts, with, to, scratch);
  };
  CHECK(run(p, a.store, ws.workspace()) == errc::overlapping_memory);
  CHECK(run(p, b.store, {a.memory.data(), a.memory.size()}) == errc::workspace_too_small);
  const aligned_memory both(a.memory.size() + bytes);
  std::memcpy(both.data() + bytes, a.memory.data(), a.memory.size());
  const op::store_type moved{both.data() + bytes, a.store.capacity_bytes};
  CHECK(cpu::reroute<op>(cpu_backend, moved, no_parts, p, b.store, {both.data(), bytes + 64}) ==
        errc::overlapping_memory);
  CHECK(run(p, b.store, {ws.data(), bytes - 1}) == errc::workspace_too_small);
  op::store_type small{b.memory.data(), a.store.sealed_bytes() - 64};
  CHECK(run(p, small, ws.workspace()) == errc::store_too_small);
  op::params bad = p;
  bad.tokens.budget.ratio = 1.5;
  CHECK(run(bad, b.store, ws.workspace()) == errc::bad_ratio);
  bad = p;
  bad.protect = {4, 4};
  bad.tokens.budget.ratio = 0.05;
  CHECK(run(bad, b.store, ws.workspace()) == errc::budget_too_small);
  CHECK(std::memcmp(before.data(), a.memory.data(), before.size()) == 0);
  CHECK(run(p, b.store, ws.workspace()).ok());
}
