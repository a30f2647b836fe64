#include <rota/attend/attention.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "cuda/attend_case.hpp"

// The operator as a whole: the same policies as on the CPU, on the device from scores to outputs.

namespace {

using rota::bf16;
using rota::index_t;
using rota_test::device_array;
using rota_test::gpu;

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<bf16, 16>, rota::mean_fill>;

TEST_CASE("compress, append, attend") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    rota_test::random_source rng(1);
    const rota_test::random_layer<bf16> layer(rng, 200, 2, 64, 64), tail(rng, 3, 2, 64, 64);
    const rota_test::device_layer<bf16> context(layer), more(tail);
    const gpu g(seed);
    const auto b = g.backend();
    op::params p;
    p.protect = {4, 8};
    p.tokens.budget.ratio = 0.5;
    p.groups.budget.ratio = 0.5;
    p.store.tail_capacity = 8;

    const device_array<std::byte> memory(
        static_cast<std::size_t>(op::max_store_bytes(context.context, p)));
    op::store_type store;
    store.data = memory.data();
    store.capacity_bytes = static_cast<index_t>(memory.size());
    const rota_test::device_workspace ws(op::compress_workspace_bytes(b, context.context, p));
    REQUIRE(op::compress(b, context.context, p, store, ws.get()).ok());
    REQUIRE(op::append(b, store, more.context.keys, more.context.values).ok());
    REQUIRE(op::append(b, store, more.context.keys, more.context.values).ok());
    REQUIRE(op::roll_back(b, store, 3).ok());
    REQUIRE(g.result().ok());

    std::vector<float> queries(8 * 64);
    for (float& x : queries) x = static_cast<float>(bf16(rng.normal()));
    const rota_test::device_item<op::store_type> item(queries, store, 1, 8);
    const std::vector batch{item.item};
    const rota_test::device_workspace scratch(
        rota::cuda::attend_workspace_bytes(b, std::span(batch), {}));
    REQUIRE(op::attend(b, std::span(batch), {}, scratch.get()).ok());
    REQUIRE(g.result().ok());

    // What was kept, on the host: half of the tokens, half of their groups.
    std::vector<std::byte> bytes = memory.download();
    rota_test::aligned_memory copy(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.data());
    rota::cuda::packed<bf16, 16>::host_form::store_type host{copy.data(),
                                                             static_cast<index_t>(copy.size())};
    REQUIRE(rota::cuda::to_host_form<rota::cuda::banked>(host).ok());
    for (index_t h = 0; h < 2; ++h) {
      CHECK(host.head(h).tokens == 100);
      CHECK(host.head(h).slices == 200);
    }
    CHECK(host.tail_count() == 3);
    CHECK(host.next_position() == 203);
    CHECK(item.error(host, {}) < 4e-3);

    // And it can be packed into what the device reads again.
    REQUIRE(rota::cuda::from_host_form<rota::cuda::banked>(host).ok());
    bool same = true;
    for (std::size_t i = 0; i < static_cast<std::size_t>(host.bytes()); ++i)
      same = same && copy.data()[i] == bytes[i];
    CHECK(same);
  });
}

TEST_CASE("a full tail, and one that is too short") {
  rota_test::random_source rng(2);
  rota_test::attend_shape s;
  s.tokens = 70;
  s.tail = 4;
  const rota_test::packed_case<rota::cuda::packed<bf16, 16>> c(3, s);
  const rota_test::random_layer<bf16> tail(rng, 1, 2, 64, 64);
  const rota_test::device_layer<bf16> more(tail);
  gpu g;
  rota_test::device_store<rota::cuda::packed<bf16, 16>> store(c.packed_shape(), 70);
  c.fill(g, store);  // the tail is full now
  const std::vector<std::byte> before = store.memory.download();
  REQUIRE(op::append(g.backend(), store.store, more.context.keys, more.context.values).ok());
  CHECK(g.result() == rota::errc::tail_full);
  CHECK(store.memory.download() == before);
  // The fault is sticky: nothing runs until the caller has cleared it.
  REQUIRE(op::roll_back(g.backend(), store.store, 1).ok());
  CHECK(store.memory.download() == before);
  g.clear_fault();
  REQUIRE(op::roll_back(g.backend(), store.store, 5).ok());
  CHECK(g.result() == rota::errc::tail_too_short);
  g.clear_fault();
  REQUIRE(op::roll_back(g.backend(), store.store, 4).ok());
  CHECK(g.result().ok());
  CHECK(store.to_host().store.tail_count() == 0);
}

TEST_CASE("dense and paged stores, lengths on the host and on the device") {
  rota_test::random_source rng(4);
  const rota_test::random_layer<bf16> layer(rng, 5, 2, 64, 64);
  const rota_test::device_layer<bf16> rows(layer);
  const device_array<bf16> keys(2 * 12 * 64), values(2 * 12 * 64);
  const device_array<std::int32_t> length(std::vector<std::int32_t>{0});
  const device_array<std::int32_t> table(std::vector<std::int32_t>{2, 0, 1});
  const auto row = [&](const std::vector<bf16>& from, std::size_t at) {
    return std::vector<std::uint16_t>{from[at].bits, from[at + 63].bits};
  };
  for (const bool on_device : {false, true}) {
    gpu g;
    rota::dense_store<bf16> dense;
    dense.keys = rota::view<bf16, 3>(keys.data(), 2, 12, 64);
    dense.values = rota::view<bf16, 3>(values.data(), 2, 12, 64);
    rota::paged_store<bf16> paged;
    paged.key_pages = rota::view<bf16, 4>(keys.data(), 3, 2, 4, 64);
    paged.value_pages = rota::view<bf16, 4>(values.data(), 3, 2, 4, 64);
    paged.block_table = rota::view<const std::int32_t, 1>(table.data(), 3);
    const auto fill = [&](auto& store) {
      device_array<std::int32_t> own(std::vector<std::int32_t>{0});
      if (on_device) store.device_length = own.data();
      const auto append = [&] {
        return rota::cuda::append(g.backend(), store, rows.context.keys, rows.context.values);
      };
      REQUIRE(append().ok());
      REQUIRE(append().ok());
      const rota::status full = append();  // 15 do not fit into 12
      CHECK((full == rota::errc::tail_full || g.result() == rota::errc::tail_full));
      g.clear_fault();
      REQUIRE(rota::cuda::roll_back(g.backend(), store, 1).ok());
      REQUIRE(g.result().ok());
      CHECK((on_device ? index_t{own.download()[0]} : store.length) == 9);
      store.device_length = nullptr;
    };
    fill(dense);
    // Token 7 of head 1 is row 2 of the second append.
    CHECK(row(keys.download(), (12 + 7) * 64) == row(layer.keys, (2 * 2 + 1) * 64));
    fill(paged);
    // It lies in page 0 (the table's second entry), at 3.
    CHECK(row(values.download(), ((0 * 2 + 1) * 4 + 3) * 64) ==
          row(layer.values, (2 * 2 + 1) * 64));
  }
}

TEST_CASE("what attention refuses") {
  rota_test::attend_shape s;
  s.tokens = 20;
  s.d = 64;
  const rota_test::packed_case<rota::cuda::packed<bf16, 16>> c(5, s);
  gpu g;
  rota_test::device_store<rota::cuda::packed<bf16, 16>> store(c.packed_shape(), 20);
  c.fill(g, store);
  const rota_test::device_item<op::store_type> item(c.queries, store.store, 1, 8);
  const auto attend = [&](auto&& spoil, index_t short_of = 0) {
    auto spoiled = item.item;
    op::store_type own = store.store;
    spoiled.store = &own;
    spoil(spoiled, own);
    const std::vector batch{spoiled};
    const rota_test::device_workspace ws(static_cast<std::size_t>(
        static_cast<index_t>(rota::cuda::attend_workspace_bytes(
            g.backend(), std::span<const rota::attend_item<op::store_type>>({item.item}), {})) -
        short_of));
    return rota::cuda::attend(g.backend(), std::span(batch), {}, ws.get());
  };
  using rota::errc;
  CHECK(attend([](auto&, auto&) {}).ok());
  CHECK(attend([](auto& i, auto&) { i.store = nullptr; }) == errc::null_view);
  CHECK(attend([](auto&, auto& st) { st.data += 16; }) == errc::bad_alignment);
  CHECK(attend([](auto& i, auto&) { i.q.extent[1] = 7; }) == errc::heads_not_divisible);
  CHECK(attend([](auto& i, auto&) { i.q.extent[2] = 32; }) == errc::bad_shape);
  CHECK(attend([](auto& i, auto&) { i.out.data = const_cast<float*>(i.q.data); }) ==
        errc::overlapping_memory);
  CHECK(attend([](auto&, auto&) {}, 1) == errc::workspace_too_small);
  REQUIRE(g.result().ok());
  // The device finds that the memory holds another store; outputs are not touched.
  const std::vector<float> before = item.out.download();
  auto bytes = store.memory.download();
  bytes[20] = std::byte{99};  // kv_heads
  store.memory.upload(bytes);
  REQUIRE(attend([](auto&, auto&) {}).ok());
  CHECK(g.result() == errc::bad_store);
  CHECK(item.out.download() == before);
}

}  // namespace
