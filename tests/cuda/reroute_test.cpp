// Eviction while decoding: what the CPU makes of the same store, byte for byte. On a GPU see
// eviction_test.cpp.

#if !defined(__CUDACC__)
#include <cstring>

#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cpu/append.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/cpu/reroute.hpp>
#include <rota/cpu/score.hpp>
#include <rota/cpu/select.hpp>
#include <rota/fill/low_rank.hpp>
#include <rota/fill/mean.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/value_norm.hpp>

#include "cuda/reroute_case.hpp"
#include "cuda/same_store.hpp"

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::by_place;
using rota_test::device_store;
using rota_test::first_channel;
using rota_test::gpu;
using rota_test::random_layer;
using rota_test::run_reroute;

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

TEST_CASE("re-routing by position: heads joined, more queries than protected tokens, a window") {
  reroute_shape s;
  s.rounds = 1;
  s.d_k = 24;
  s.d_v = 32;
  s.protect = {0, 1};
  rota_test::random_source rng(17);
  std::vector<float> queries(20 * 6 * 24);
  for (float& x : queries) x = rng.normal();
  rota::context<bf16, rota::window_queries> parts;
  parts.queries = rota::view<const float, 3>(queries.data(), 20, 6, 24);
  const rota_test::device_array<float> on_device(queries);
  auto device_parts = parts;
  device_parts.queries.data = on_device.data();
  using joined = operators<bf16_by_8, rota::zero_fill, rota::tokens<rota::tova, rota::keep_ratio>>;
  using own = operators<bf16_by_8, rota::zero_fill, rota::tokens<rota::snapkv, rota::keep_ratio>>;
  CHECK(reroutes_as_the_cpu<joined>(18, 1, s, parts, device_parts));
  CHECK(reroutes_as_the_cpu<own>(19, 2, s, parts, device_parts));
  parts.sliding_window = device_parts.sliding_window = 40;
  CHECK(reroutes_as_the_cpu<joined>(20, 3, s, parts, device_parts));
  CHECK(reroutes_as_the_cpu<own>(21, 0, s, parts, device_parts));
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

}  // namespace

#endif
