#include <cstring>
#include <string>

#include <rota/attend/attention.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/low_rank.hpp>
#include <rota/fill/mean.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/value_norm.hpp>

#include "cuda/device_case.hpp"
#include "cuda/device_scores.hpp"
#include "cuda/same_store.hpp"

#if !defined(__CUDACC__)
#include <rota/cpu/append.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/cpu/reroute.hpp>
#include <rota/cpu/score.hpp>
#include <rota/cpu/select.hpp>
#endif

// Eviction while decoding, on the device against the CPU.

namespace {

using rota::bf16;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota_test::device_store;
using rota_test::gpu;
using rota_test::random_layer;

/// Scores that are the same numbers everywhere, and often equal: selections must be the same.
struct first_channel {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  ROTA_HD static float score(const params&, const rota::token_ref& t) {
    return static_cast<float>(static_cast<int>(8 * t.key[0]));
  }
};
struct by_place {
  using policy_kind = rota::group_scorer_tag;
  struct params {};
  ROTA_HD static float score(const params&, const rota::group_ref& g) {
    return static_cast<float>((31 * g.token.position + 17 * g.group) % 23);
  }
};

using layer_ratio = rota::keep_ratio_in<rota::budget_scope::layer>;

/// The same operator for the device and for the host.
template <class Layout, class Fill, class Tokens = rota::tokens<first_channel, layer_ratio>,
          class Groups = rota::groups<by_place, layer_ratio>>
struct operators {
  using layout = Layout;
  using device = rota::attention<Tokens, Groups, Layout, Fill>;
  using host = rota::attention<Tokens, Groups, typename Layout::host_form, Fill>;
};

struct reroute_shape {
  index_t tokens = 70, heads = 2, d_k = 16, d_v = 32;
  index_t room = 5;      ///< of the tail
  index_t appended = 5;  ///< before each re-routing
  double first = 0.8, again = 0.7, groups = 0.6;
  bool drop_empty = false;
  rota::protection protect{2, 3};
  int rounds = 2;
};

template <class Params>
Params params_of(const reroute_shape& s, double ratio) {
  Params p;
  p.protect = s.protect;
  p.tokens.budget.ratio = ratio;
  p.groups.budget.ratio = s.groups;
  p.store.tail_capacity = s.room;
  p.drop_empty = s.drop_empty;
  return p;
}

/// Runs an operator with a workspace of just the size that it asks for.
template <class Op, class Store, class Context>
rota::status run_reroute(const rota::cuda::backend& b, const Store& from, const Context& parts,
                         const typename Op::params& p, Store& to) {
  const rota_test::device_workspace ws(Op::reroute_workspace_bytes(b, from, parts, p));
  return Op::reroute(b, from, parts, p, to, ws.get());
}

#if !defined(__CUDACC__)
/// A store in host memory that looks as the emulator's does at first.
template <class Op>
struct host_store {
  rota_test::aligned_memory memory;
  typename Op::store_type store;
  explicit host_store(index_t bytes) : memory(static_cast<std::size_t>(bytes)) {
    std::memset(memory.data(), 0xff, memory.size());
    store.data = memory.data();
    store.capacity_bytes = bytes;
  }
};

/// Copies a store of the host into the device's memory and form.
template <class Layout, class Store>
void send(const Store& from, index_t most_tokens, device_store<Layout>& to) {
  const auto bytes = static_cast<std::size_t>(from.bytes());
  const rota_test::aligned_memory copy(bytes);
  std::memcpy(copy.data(), from.data, bytes);
  Store form{copy.data(), from.bytes()};
  using swizzle = typename Layout::store_type::swizzle;
  REQUIRE(rota::cuda::from_host_form<swizzle>(form).ok());
  to.memory.upload(std::vector<std::byte>(copy.data(), copy.data() + bytes));
  to.store.shape = to.shape;
  to.store.most_tokens = most_tokens;
}

/// Compresses on the host, then appends and re-routes on both some times. Whether both stores are
/// the same then, byte for byte.
template <class Ops, class Context>
bool reroutes_as_the_cpu(std::uint64_t seed, std::uint64_t schedule, const reroute_shape& s,
                         const Context& parts, const Context& device_parts) {
  using layout = typename Ops::layout;
  using E = typename layout::element_type;
  using host = typename Ops::host;
  using device = typename Ops::device;
  rota_test::random_source rng(seed);
  const random_layer<E> layer(rng, s.tokens, s.heads, s.d_k, s.d_v, true);
  Context ctx = parts;
  ctx.keys = layer.context.keys;
  ctx.values = layer.context.values;
  ctx.positions = layer.context.positions;
  const auto first = params_of<typename host::params>(s, s.first);
  const auto again = params_of<typename host::params>(s, s.again);
  const auto device_again = params_of<typename device::params>(s, s.again);
  const rota::cpu::backend one;
  const index_t most = s.tokens + s.rounds * s.appended;
  const index_t bytes = rota::packed_bytes_bound(host::shape_of(ctx, first), most);
  host_store<host> from(bytes);
  const rota_test::aligned_memory ws(host::compress_workspace_bytes(one, ctx, first));
  REQUIRE(host::compress(one, ctx, first, from.store, ws.workspace()).ok());
  const rota::packed_shape shape = device::shape_of(s.heads, s.d_k, s.d_v, device_again);
  device_store<layout> device_from(shape, most);
  send<layout>(from.store, s.tokens, device_from);

  const gpu g(schedule);
  bool same = true;
  for (int round = 0; round < s.rounds; ++round) {
    host_store<host> to(bytes);
    device_store<layout> device_to(shape, most);
    const random_layer<E> more(rng, s.appended, s.heads, s.d_k, s.d_v);
    const rota_test::device_layer<E> rows(more);
    REQUIRE(host::append(one, from.store, more.context.keys, more.context.values).ok());
    REQUIRE(device::append(g.backend(), device_from.store, rows.context.keys, rows.context.values)
                .ok());
    const rota_test::aligned_memory scratch(
        host::reroute_workspace_bytes(one, from.store, parts, again));
    REQUIRE(host::reroute(one, from.store, parts, again, to.store, scratch.workspace()).ok());
    REQUIRE(run_reroute<device>(g.backend(), device_from.store, device_parts, device_again,
                                device_to.store)
                .ok());
    REQUIRE(g.result().ok());
    auto got = device_to.to_host();
    same = same && rota_test::holds_the_same(got.store, to.store);
    // Go on from the CPU's store, so that a mean's last place does not matter.
    std::memcpy(from.memory.data(), to.memory.data(), to.memory.size());
    send<layout>(to.store, device_to.store.most_tokens, device_from);
  }
  return same;
}

template <class Ops>
bool reroutes_as_the_cpu(std::uint64_t seed, std::uint64_t schedule, const reroute_shape& s) {
  const rota::context<typename Ops::layout::element_type> none;
  return reroutes_as_the_cpu<Ops>(seed, schedule, s, none, none);
}

using bf16_by_8 = rota::cuda::packed<bf16, 8>;

TEST_CASE("a re-routed store is what the CPU makes of it, byte for byte") {
  rota_test::for_each_schedule([](std::uint64_t schedule) {
    CHECK(reroutes_as_the_cpu<operators<bf16_by_8, rota::mean_fill>>(1, schedule, {}));
  });
}

TEST_CASE("re-routing: elements, orders, sizes that nothing fits") {
  reroute_shape s;
  s.heads = 1;
  s.d_k = 24;
  s.d_v = 48;
  s.rounds = 1;
  using in_order = rota::cuda::packed<bf16, 8, rota::cuda::in_order>;
  CHECK(reroutes_as_the_cpu<operators<in_order, rota::zero_fill>>(2, 0, s));
  CHECK(reroutes_as_the_cpu<operators<rota::cuda::packed<float, 4>, rota::mean_fill>>(3, 1, [&] {
    reroute_shape f = s;
    f.d_v = 12;
    return f;
  }()));
  s.d_v = 64;
  s.drop_empty = true;
  s.groups = 0.15;
  s.protect = {};
  CHECK(reroutes_as_the_cpu<operators<rota::cuda::packed<f16, 16>, rota::zero_fill>>(4, 2, s));
}

TEST_CASE("re-routing: full records, whole records, long and empty tails") {
  using zeros = operators<bf16_by_8, rota::zero_fill>;
  reroute_shape s;
  s.rounds = 1;
  s.tokens = 64;
  s.first = 1;
  s.groups = 1;
  s.again = 1;
  CHECK(reroutes_as_the_cpu<zeros>(5, 0, s));
  s.room = 70;  // two blocks of the tail
  s.appended = 67;
  CHECK(reroutes_as_the_cpu<zeros>(6, 1, s));
  s.again = 0.5;
  s.appended = 0;
  CHECK(reroutes_as_the_cpu<zeros>(7, 2, s));
  s.tokens = 0;  // nothing but a tail
  s.protect = {1, 1};
  s.appended = 7;
  CHECK(reroutes_as_the_cpu<zeros>(8, 3, s));
  s.appended = 0;  // nothing
  s.protect = {};
  CHECK(reroutes_as_the_cpu<zeros>(9, 3, s));
  s.room = 0;
  CHECK(reroutes_as_the_cpu<zeros>(10, 3, s));
}

TEST_CASE("re-routing by stock scorers and a budget with floors") {
  reroute_shape s;
  s.rounds = 1;
  CHECK(reroutes_as_the_cpu<
        operators<bf16_by_8, rota::mean_fill, rota::tokens<rota::key_norm, rota::head_adaptive>,
                  rota::groups<rota::value_norm, rota::keep_ratio>>>(11, 1, s));
}

TEST_CASE("re-routing with the parts that scorers need, a share of them for each head") {
  reroute_shape s;
  s.rounds = 1;
  s.d_k = 64;
  s.d_v = 64;
  rota_test::random_source rng(12);
  std::vector<float> queries(4 * 6 * 64);
  for (float& x : queries) x = rng.normal();
  rota::context<bf16, rota::window_queries> parts;
  parts.queries = rota::view<const float, 3>(queries.data(), 4, 6, 64);
  const rota_test::device_array<float> on_device(queries);
  auto device_parts = parts;
  device_parts.queries.data = on_device.data();
  CHECK(reroutes_as_the_cpu<operators<rota::cuda::packed<bf16, 16>, rota::zero_fill,
                                      rota::tokens<rota::snapkv, rota::keep_ratio>,
                                      rota::groups<rota::attention_mass, rota::keep_ratio>>>(
      13, 2, s, parts, device_parts));
}

TEST_CASE("re-routing of codes: what is rebuilt goes into the new ones") {
  reroute_shape s;
  s.rounds = 1;
  rota_test::random_source rng(14);
  const rota_test::random_codec codec(rng, s.heads, 8, s.d_v);
  rota::context<bf16, rota::fill_codec> parts;
  static_cast<rota::fill_codec&>(parts) = codec.codec;
  const rota_test::device_array<float> encode(codec.encode), decode(codec.decode);
  auto device_parts = parts;
  device_parts.encode.data = encode.data();
  device_parts.decode.data = decode.data();
  CHECK(reroutes_as_the_cpu<operators<bf16_by_8, rota::low_rank_fill<8>>>(15, 1, s, parts,
                                                                          device_parts));
}
#endif

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
  a.store.store.most_tokens = 100000;
  b.store.store.capacity_bytes = b.store.store.capacity_bytes / 2;
  const index_t bound = rota::packed_tokens_bound(b.store.shape, b.store.store.capacity_bytes);
  const rota::cuda::backend back = g.backend();
  CHECK(fixed::reroute_workspace_bytes(back, a.store.store, no_parts, a.params) > 100000 * 2 * 128);
  CHECK(bound > 40);
  CHECK(bound < 400);
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
