#include <cstring>

#include "cuda/device_case.hpp"
#include "cuda/same_store.hpp"

#if !defined(__CUDACC__)
#include <rota/cpu/append.hpp>
#include <rota/cpu/pack.hpp>
#endif

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::coded_device_layer;
using rota_test::device_selection;
using rota_test::device_store;
using rota_test::gpu;
using rota_test::random_layer;
using rota_test::random_selection;

struct pack_shape {
  index_t tokens = 200, heads = 2, d_k = 64, d_v = 64;
  double keep_tokens = 0.7, keep_groups = 0.5;
  index_t room = 3;
  bool means = false;
  index_t rank = 0;
};

/// What is packed, on the host.
template <class Layout, rota::element From = typename Layout::element_type>
struct pack_case {
  rota_test::random_source rng;
  random_layer<From> layer;
  random_selection kept;
  rota_test::random_codec codec;
  rota::packed_shape shape;

  pack_case(std::uint64_t seed, const pack_shape& s)
      : rng(seed),
        layer(rng, s.tokens, s.heads, s.d_k, s.d_v, true),
        kept(rng, s.tokens, s.heads, static_cast<int>(s.d_v / Layout::width), s.keep_tokens,
             s.keep_groups),
        codec(rng, s.heads, s.rank, s.d_v),
        shape(Layout::shape(s.heads, s.d_k, s.d_v, {s.room},
                            s.means      ? 1
                            : s.rank > 0 ? 2
                                         : 0,
                            s.means, s.rank)) {}

  rota::status pack(const gpu& g, device_store<Layout>& to) const {
    const coded_device_layer<From> rows(layer, codec);
    const device_selection selected(kept);
    if (rota::status s =
            rota_test::run_pack(g.backend(), shape, rows.context, selected.kept, to.store);
        !s)
      return s;
    return g.result();
  }
};

#if !defined(__CUDACC__)
/// Whether the device's store is, byte for byte, what the CPU packs; means may differ in the last
/// place.
template <class Layout, rota::element From>
bool packs_as_the_cpu(std::uint64_t seed, const pack_case<Layout, From>& c) {
  const gpu g(seed);
  device_store<Layout> device(c.shape, c.layer.context.tokens());
  REQUIRE(c.pack(g, device).ok());
  auto got = device.to_host();

  const auto bytes = static_cast<std::size_t>(rota::packed_bytes(c.shape, c.kept.kept));
  const rota_test::aligned_memory memory(bytes);
  std::memset(memory.data(), 0xff, bytes);  // as the emulator's memory is at first
  typename Layout::host_form::store_type want{memory.data(), static_cast<index_t>(bytes)};
  const rota::cpu::backend one;
  const rota_test::aligned_memory ws(rota::cpu::pack_workspace_bytes(one, c.shape));
  rota::cpu::pack_options options;
  options.codec = c.codec.codec;
  REQUIRE(rota::cpu::pack(one, c.shape, c.layer.context, c.kept.kept, want, ws.workspace(), options)
              .ok());
  return rota_test::holds_the_same(got.store, want);
}

TEST_CASE("a packed store is what the CPU packs, byte for byte") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    pack_shape s;
    CHECK(packs_as_the_cpu(seed, pack_case<rota::cuda::packed<bf16, 8>>(1, s)));
    s.keep_groups = 1;  // whole records
    CHECK(packs_as_the_cpu(seed, pack_case<rota::cuda::packed<bf16, 8>>(2, s)));
    s.keep_groups = 0.3;
    s.means = true;
    s.d_k = 128;
    CHECK(packs_as_the_cpu(seed, pack_case<rota::cuda::packed<f16, 16>>(3, s)));
    s.means = false;
    s.rank = 8;
    CHECK(packs_as_the_cpu(seed, pack_case<rota::cuda::packed<bf16, 32>>(4, s)));
  });
}

TEST_CASE("other elements, chunks in order, head sizes that no bank fits") {
  pack_shape s;
  s.d_k = 24;
  s.d_v = 48;
  CHECK(packs_as_the_cpu(0, pack_case<rota::cuda::packed<bf16, 8>>(5, s)));
  CHECK(packs_as_the_cpu(1, pack_case<rota::cuda::packed<float, 4>>(6, s)));
  CHECK(packs_as_the_cpu(1, pack_case<rota::cuda::packed<bf16, 8>, float>(7, s)));
  CHECK(packs_as_the_cpu(2, pack_case<rota::cuda::packed<bf16, 8, rota::cuda::in_order>>(8, s)));
  s.tokens = 650;  // means of more survivors than one block adds up
  s.means = true;
  CHECK(packs_as_the_cpu(0, pack_case<rota::cuda::packed<bf16, 8>>(14, s)));
  s.means = false;
  s.tokens = 64;
  s.keep_tokens = 1;  // a record that is just full
  CHECK(packs_as_the_cpu(3, pack_case<rota::cuda::packed<bf16, 8>>(9, s)));
  s.keep_tokens = 0;
  CHECK(packs_as_the_cpu(3, pack_case<rota::cuda::packed<bf16, 8>>(10, s)));
  s.tokens = 0;
  CHECK(packs_as_the_cpu(3, pack_case<rota::cuda::packed<bf16, 8>>(11, s)));
}
#endif

using layout = rota::cuda::packed<bf16, 8>;

/// Whether a device store's memory is still what it was allocated as.
bool is_untouched(const device_store<layout>& s) {
  const std::vector<std::byte> memory = s.memory.download();
  for (const std::byte b : memory)
    if (b != std::byte{0xff}) return false;
  return true;
}

TEST_CASE("what only the device can see is reported, and nothing is written") {
  const pack_case<layout> good(12, {});
  const auto report = [&](auto&& spoil, index_t capacity_off = 0) {
    pack_case<layout> c(12, {});
    spoil(c);
    const gpu g;
    device_store<layout> to(c.shape, c.layer.context.tokens());
    to.store.capacity_bytes -= capacity_off;
    const rota::status s = c.pack(g, to);
    CHECK(is_untouched(to));
    return s;
  };
  using rota::errc;
  const auto is = [](const rota::status& s, errc code, const char* argument) {
    return s.code == code && std::strcmp(s.argument, argument) == 0;
  };
  CHECK(is(report([](auto& c) { c.kept.counts[1] = 201; }), errc::bad_selection, "selection"));
  CHECK(is(report([](auto& c) { c.kept.counts[0] = -1; }), errc::bad_selection, "selection"));
  CHECK(is(report([](auto& c) { c.kept.indices[3] = c.kept.indices[2]; }), errc::bad_selection,
           "selection"));
  CHECK(is(report([](auto& c) { c.kept.indices[0] = 200; }), errc::bad_selection, "selection"));
  CHECK(is(report([](auto& c) { c.kept.masks[5] = 0x100; }), errc::bad_selection, "selection"));
  CHECK(is(report([](auto& c) { c.layer.positions.back() = INT32_MAX - 2; }), errc::bad_position,
           "store"));
  const index_t spare =
      rota::packed_bytes_bound(good.shape, 200) - rota::packed_bytes(good.shape, good.kept.kept);
  CHECK(is(report([](auto&) {}, spare + 1), errc::store_too_small, "store"));
}

TEST_CASE("an old error of the caller's is not taken for one of packing" *
          doctest::skip(rota_test::emulated)) {
  const pack_case<layout> c(12, {});
  const gpu g;
  const coded_device_layer<bf16> rows(c.layer, c.codec);
  const device_selection selected(c.kept);
  device_store<layout> to(c.shape, 200);
  const std::size_t bytes = rota::cuda::pack_workspace_bytes(g.backend(), c.shape, 200);
  rota_test::leave_an_error();
  CHECK(rota::cuda::pack_workspace_bytes(g.backend(), c.shape, 200) == bytes);
  const rota_test::device_workspace ws(bytes);
  rota_test::leave_an_error();
  CHECK(
      rota::cuda::pack(g.backend(), c.shape, rows.context, selected.kept, to.store, ws.get()).ok());
  CHECK(g.result().ok());
}

TEST_CASE("a length in device memory") {
  const pack_case<layout> c(13, {});
  const coded_device_layer<bf16> rows(c.layer, c.codec);
  for (const std::int32_t length : {200, 150, 201, -1}) {
    const gpu g;
    const rota_test::device_array<std::int32_t> on_device(std::vector<std::int32_t>{length});
    auto ctx = rows.context;
    ctx.device_tokens = on_device.data();
    // Only tokens below 150 are kept.
    pack_case<layout> kept(13, {});
    for (index_t h = 0; h < 2; ++h)
      while (kept.kept.kept.indices(h, kept.kept.counts[static_cast<std::size_t>(h)] - 1) >= 150)
        --kept.kept.counts[static_cast<std::size_t>(h)];
    const device_selection selected(kept.kept);
    device_store<layout> to(c.shape, 200);
    REQUIRE(rota_test::run_pack(g.backend(), c.shape, ctx, selected.kept, to.store).ok());
    if (length < 0 || length > 200) {
      CHECK(g.result() == rota::errc::bad_count);
      CHECK(is_untouched(to));
      continue;
    }
    REQUIRE(g.result().ok());
    const auto copy = to.to_host();
    const auto last = static_cast<std::size_t>(length - 1);
    CHECK(copy.store.next_position() == c.layer.positions[last] + 1);
  }
}

TEST_CASE("a selection of a context without tokens must be empty") {
  rota_test::random_source rng(31);
  const rota_test::random_layer<bf16> none(rng, 0, 2, 16, 16);
  const rota_test::random_layer<bf16> some(rng, 5, 2, 16, 16);
  const rota_test::random_selection kept(rng, 5, 2, 2, 1, 1);
  const rota_test::device_layer<bf16> rows(none);
  const rota_test::device_selection selected(kept);
  const gpu g;
  rota_test::device_store<layout> store(layout::shape(2, 16, 16, {4}, 0, false), 5);
  REQUIRE(
      rota_test::run_pack(g.backend(), store.shape, rows.context, selected.kept, store.store).ok());
  CHECK(g.result() == rota::errc::bad_selection);
}

TEST_CASE("pack refuses memory that the host can see is not fit") {
  rota_test::random_source rng(32);
  const rota_test::random_layer<bf16> layer(rng, 5, 2, 16, 16);
  const rota_test::random_selection kept(rng, 5, 2, 2, 1, 1);
  const rota_test::random_codec codec(rng, 2, 8, 16);
  const rota_test::coded_device_layer<bf16> rows(layer, codec);
  const rota_test::device_selection selected(kept);
  const gpu g;
  rota_test::device_store<layout> store(layout::shape(2, 16, 16, {4}, 2, false, 8), 5);
  const auto pack = [&](const auto& ctx, const rota::selection& sel, index_t capacity) {
    auto handle = store.store;
    handle.capacity_bytes = capacity;
    return rota_test::run_pack(g.backend(), store.shape, ctx, sel, handle);
  };
  const index_t enough = store.store.capacity_bytes;
  CHECK(pack(rows.context, selected.kept, enough).ok());
  CHECK(pack(rows.context, selected.kept, -1) == rota::errc::store_too_small);
  auto on_host = rows.context;
  on_host.decode.data = codec.decode.data();
  CHECK(pack(on_host, selected.kept, enough) == rota::errc::wrong_memory);
  rota::selection odd = selected.kept;
  odd.counts.data =
      reinterpret_cast<std::int32_t*>(reinterpret_cast<std::byte*>(odd.counts.data) + 1);
  CHECK(pack(rows.context, odd, enough) == rota::errc::bad_alignment);
  rota::cuda::backend b = g.backend();
  b.fault = reinterpret_cast<std::uint32_t*>(reinterpret_cast<std::byte*>(b.fault) + 2);
  CHECK(rota_test::run_pack(b, store.shape, rows.context, selected.kept, store.store) ==
        rota::errc::bad_alignment);
}

TEST_CASE("append refuses rows that are no multiple of 16 bytes") {
  const gpu g;
  const rota_test::device_array<bf16> rows(4 * 8 * 16);
  rota::dense_store<bf16> store;
  store.keys = rota::view<bf16, 3>(rows.data(), 1, 8, 12);
  store.keys.stride[0] = 8 * 16;
  store.keys.stride[1] = 16;
  store.values = store.keys;
  store.values.data += 8 * 16;
  rota::view<const bf16, 3> k(rows.data() + 2 * 8 * 16, 1, 1, 12);
  k.stride[0] = k.stride[1] = 16;
  CHECK(rota::cuda::append(g.backend(), store, k, k) == rota::errc::unsupported);
  CHECK(store.length == 0);
}

}  // namespace
