#include <cstddef>
#include <cstring>
#include <string>

#include <rota/budget/fixed_k.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/score/attention_mass.hpp>

#include "cuda/reroute_case.hpp"

// Re-routing on the device: decoding under a fixed number of tokens, what is reported, what is
// refused.

namespace {

using rota::bf16;
using rota::errc;
using rota::index_t;
using rota_test::by_place;
using rota_test::device_store;
using rota_test::first_channel;
using rota_test::gpu;
using rota_test::random_layer;
using rota_test::run_reroute;

using small_layout = rota::cuda::packed<bf16, 16>;
using fixed = rota::attention<rota::tokens<first_channel, rota::fixed_k>,
                              rota::groups<by_place, rota::fixed_k>, small_layout>;

/// A store of `tokens` tokens, of which the budget keeps some, with a tail that is full.
struct full_store {
  static constexpr index_t tokens = 70, heads = 2, d = 32, room = 8;
  fixed::params params;
  device_store<small_layout> store;

  explicit full_store(const gpu& g, index_t kept = 40)
      : params(params_that_keep(kept)), store(fixed::shape_of(heads, d, d, params), tokens) {
    rota_test::random_source rng(20);
    const random_layer<bf16> layer(rng, tokens, heads, d, d);
    const rota_test::device_layer<bf16> rows(layer);
    const rota_test::device_workspace ws(
        fixed::compress_workspace_bytes(g.backend(), rows.context, params));
    REQUIRE(fixed::compress(g.backend(), rows.context, params, store.store, ws.get()).ok());
    fill(g, rng);
  }
  void fill(const gpu& g, rota_test::random_source& rng) {
    const random_layer<bf16> layer(rng, room, heads, d, d);
    const rota_test::device_layer<bf16> rows(layer);
    REQUIRE(fixed::append(g.backend(), store.store, rows.context.keys, rows.context.values).ok());
    REQUIRE(g.result().ok());
  }
  static fixed::params params_that_keep(index_t kept) {
    fixed::params p;
    p.protect = {2, 4};
    p.tokens.budget.k = kept;
    p.groups.budget.k = 1;
    p.store.tail_capacity = room;
    return p;
  }
};

TEST_CASE("decoding under a fixed number of tokens on the device") {
  const gpu g(1);
  const rota::context<bf16> no_parts;
  full_store a(g), b(g);
  rota_test::random_source rng(21);
  full_store* from = &a;
  full_store* to = &b;
  for (rota::position_t next = 78; next < 118; next += 8) {
    REQUIRE(
        run_reroute<fixed>(g.backend(), from->store.store, no_parts, from->params, to->store.store)
            .ok());
    REQUIRE(g.result().ok());
    const auto copy = to->store.to_host();
    CHECK(copy.store.next_position() == next);
    CHECK(copy.store.tail_count() == 0);
    for (index_t h = 0; h < 2; ++h) {
      CHECK(copy.store.head(h).tokens == 40);
      const auto block = copy.store.block_at(h, 0);
      CHECK(block.position(1) == 1);
      CHECK(block.position(39) == next - 1);
      CHECK(block.position(36) == next - 4);
    }
    to->store.store.most_tokens = 40;  // what this budget keeps
    to->fill(g, rng);
    std::swap(from, to);
  }
}

TEST_CASE("the handle's bound grows no further than the memory") {
  const gpu g;
  const rota::context<bf16> no_parts;
  full_store a(g), b(g);
  REQUIRE(run_reroute<fixed>(g.backend(), a.store.store, no_parts, a.params, b.store.store).ok());
  CHECK(b.store.store.most_tokens == 78);
  a.store.store.most_tokens = 5000;
  REQUIRE(run_reroute<fixed>(g.backend(), a.store.store, no_parts, a.params, b.store.store).ok());
  REQUIRE(g.result().ok());
  CHECK(b.store.store.most_tokens ==
        rota::packed_tokens_bound(b.store.shape, b.store.store.capacity_bytes));
  CHECK(b.store.store.most_tokens < 400);
}

/// Whether a store's memory is still what it was allocated as.
bool is_untouched(const device_store<small_layout>& s) {
  for (const std::byte b : s.memory.download())
    if (b != std::byte{0xff}) return false;
  return true;
}

TEST_CASE("re-routing reports what only the device can see, and writes nothing") {
  const rota::context<bf16> no_parts;
  const auto report = [&](errc code, const char* argument, auto&& spoil) {
    const gpu g;
    full_store from(g);
    device_store<small_layout> to(from.store.shape, 78);
    auto params = from.params;
    spoil(from, to, params);
    REQUIRE(run_reroute<fixed>(g.backend(), from.store.store, no_parts, params, to.store).ok());
    const rota::status s = g.result();
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(is_untouched(to));
  };
  using params = fixed::params;
  using target = device_store<small_layout>;
  report(errc::bad_store, "store",
         [](full_store& f, target&, params&) { f.store.store.most_tokens = 39; });
  report(errc::bad_store, "store", [](full_store& f, target&, params&) {
    std::vector<std::byte> memory = f.store.memory.download();
    memory[offsetof(rota::packed_header, d_k)] = std::byte{16};
    f.store.memory.upload(memory);
  });
  report(errc::bad_store, "store", [](full_store& f, target&, params&) {
    std::vector<std::byte> memory = f.store.memory.download();
    memory[sizeof(rota::packed_header) + offsetof(rota::packed_head, record_count)] = std::byte{2};
    f.store.memory.upload(memory);
  });
  report(errc::bad_store, "store", [](full_store& f, target&, params&) {
    std::vector<std::byte> memory = f.store.memory.download();
    rota::packed_header h;
    std::memcpy(&h, memory.data(), sizeof h);
    memory[h.records_at] = std::byte{39};  // tokens of the first record
    f.store.memory.upload(memory);
  });
  report(errc::store_too_small, "store",
         [](full_store&, target& to, params&) { to.store.capacity_bytes = 4096; });
  report(errc::budget_too_small, "tokens",
         [](full_store&, target&, params& p) { p.tokens.budget.k = 5; });
  report(errc::bad_position, "store",
         [](full_store&, target&, params& p) { p.store.tail_capacity = INT32_MAX - 77; });
}

TEST_CASE("re-routing on the device refuses what the host can see") {
  const gpu g;
  const rota::context<bf16> no_parts;
  full_store from(g);
  device_store<small_layout> to(from.store.shape, 78);
  const rota::cuda::backend b = g.backend();
  const auto handle = from.store.store;
  const std::size_t need = fixed::reroute_workspace_bytes(b, handle, no_parts, from.params);
  const rota_test::device_workspace ws(need);
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    auto source = handle;
    auto target = to.store;
    auto params = from.params;
    auto memory = ws.get();
    spoil(source, target, params, memory);
    const rota::status s = fixed::reroute(b, source, no_parts, params, target, memory);
    CAPTURE(argument);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(g.result().ok());
    CHECK(is_untouched(to));
  };
  using store = fixed::store_type;
  using params = fixed::params;
  using rota::workspace;
  refused(errc::null_view, "store",
          [](store& f, store&, params&, workspace&) { f.data = nullptr; });
  refused(errc::bad_store, "store",
          [](store& f, store&, params&, workspace&) { f.shape.record.d_k = 12; });
  refused(errc::bad_store, "store",
          [](store& f, store&, params&, workspace&) { f.most_tokens = -1; });
  refused(errc::null_view, "to", [](store&, store& t, params&, workspace&) { t.data = nullptr; });
  refused(errc::bad_alignment, "to", [](store&, store& t, params&, workspace&) { t.data += 16; });
  refused(errc::store_too_small, "to",
          [](store&, store& t, params&, workspace&) { t.capacity_bytes = -1; });
  const rota_test::aligned_memory elsewhere(1 << 12);
  refused(errc::wrong_memory, "to",
          [&](store&, store& t, params&, workspace&) { t.data = elsewhere.data(); });
  refused(errc::wrong_memory, "ws",
          [&](store&, store&, params&, workspace& w) { w.data = elsewhere.data(); });
  refused(errc::overlapping_memory, "to", [](store& f, store& t, params&, workspace&) { t = f; });
  refused(errc::overlapping_memory, "ws", [](store& f, store&, params&, workspace& w) {
    w = {f.data, static_cast<std::size_t>(f.capacity_bytes)};
  });
  refused(errc::workspace_too_small, "ws",
          [](store&, store&, params&, workspace& w) { --w.bytes; });
  refused(errc::bad_count, "sinks",
          [](store&, store&, params& p, workspace&) { p.protect.sinks = -1; });
  refused(errc::bad_count, "tokens.budget",
          [](store&, store&, params& p, workspace&) { p.tokens.budget.k = -1; });
  refused(errc::bad_count, "tail_capacity",
          [](store&, store&, params& p, workspace&) { p.store.tail_capacity = -1; });

  using massed =
      rota::attention<rota::groups<rota::attention_mass, rota::keep_ratio>, small_layout>;
  rota::context<bf16, rota::window_queries> windowed;
  windowed.queries = rota::view<const float, 3>(nullptr, 2, 3, 32);  // 3 heads for 2
  CHECK(massed::reroute_workspace_bytes(b, handle, windowed, {}) == 0);
  store target = to.store;
  CHECK(massed::reroute(b, handle, windowed, {}, target, ws.get()) == errc::heads_not_divisible);
  CHECK(run_reroute<fixed>(b, handle, no_parts, from.params, to.store).ok());
  CHECK(g.result().ok());
}

}  // namespace
