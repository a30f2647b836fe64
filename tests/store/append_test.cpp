#include <doctest/doctest.h>

#include <rota/cpu/append.hpp>
#include <rota/store/layouts.hpp>

#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

/// A paged store of one sequence whose pages lie scattered in a larger pool.
struct paged_fixture {
  static constexpr index_t pages = 7, page_tokens = 4, heads = 2, d_k = 8, d_v = 16;
  std::vector<f16> keys, values;
  std::vector<std::int32_t> table{5, 0, 3};
  paged_store<f16> store;

  paged_fixture()
      : keys(pages * heads * page_tokens * d_k), values(pages * heads * page_tokens * d_v) {
    store.key_pages = view(keys.data(), pages, heads, page_tokens, d_k);
    store.value_pages = view(values.data(), pages, heads, page_tokens, d_v);
    store.block_table = view<const std::int32_t, 1>(table.data(), 3);
  }
};

struct dense_fixture {
  std::vector<bf16> keys, values;
  dense_store<bf16> store;

  explicit dense_fixture(index_t capacity)
      : keys(static_cast<std::size_t>(2 * capacity * 8)),
        values(static_cast<std::size_t>(2 * capacity * 16)) {
    store.keys = view(keys.data(), 2, capacity, 8);
    store.values = view(values.data(), 2, capacity, 16);
  }
};

}  // namespace

TEST_CASE("a dense store takes tokens until it is full, converting as it goes") {
  random_source rng(1);
  const random_layer<f32> rows(rng, 6, 2, 8, 16);
  dense_fixture f(7);
  const cpu::backend cpu;
  REQUIRE(cpu::append(cpu, f.store, rows.context.keys, rows.context.values).ok());
  CHECK(f.store.length == 6);
  CHECK(f.store.next_position() == 6);
  for (index_t i = 0; i < 6; ++i)
    for (index_t h = 0; h < 2; ++h) {
      for (index_t c = 0; c < 8; ++c)
        CHECK(f.store.keys(h, i, c).bits == bf16(rows.context.keys(i, h, c)).bits);
      for (index_t c = 0; c < 16; ++c)
        CHECK(f.store.values(h, i, c).bits == bf16(rows.context.values(i, h, c)).bits);
    }
  CHECK(cpu::append(cpu, f.store, rows.context.keys, rows.context.values) == errc::tail_full);
  CHECK(f.store.length == 6);
  CHECK(f.store.bytes() == 2 * 7 * (8 + 16) * 2);
}

TEST_CASE("a paged store fills its pages in the order of its table") {
  random_source rng(2);
  const random_layer<f32> rows(rng, 10, 2, 8, 16);
  paged_fixture f;
  const cpu::backend cpu;
  REQUIRE(cpu::append(cpu, f.store, rows.context.keys, rows.context.values).ok());
  CHECK(f.store.block_count(0) == 3);
  for (index_t i = 0; i < 10; ++i)
    for (index_t h = 0; h < 2; ++h) {
      const block<f16> b = f.store.block_at(h, i / 4);
      CHECK(b.position(i % 4) == i);
      CHECK(b.keys[(i % 4) * b.key_stride + 3].bits == f16(rows.context.keys(i, h, 3)).bits);
      CHECK(b.values[(i % 4) * b.value_stride + 9].bits == f16(rows.context.values(i, h, 9)).bits);
    }
  CHECK(f.store.block_at(0, 2).count == 2);
  CHECK(cpu::append(cpu, f.store, rows.context.keys, rows.context.values) == errc::tail_full);
  // Pages of other sequences are untouched.
  for (index_t page : {1, 2, 4, 6})
    for (index_t c = 0; c < 8; ++c) CHECK(f.store.key_pages(page, 0, 0, c).bits == 0);
}

TEST_CASE("appending refuses what does not fit the store") {
  random_source rng(3);
  const random_layer<f32> rows(rng, 2, 2, 8, 16), narrow(rng, 2, 2, 4, 16), many(rng, 2, 3, 8, 16);
  dense_fixture f(7);
  const cpu::backend cpu;
  const auto& good = rows.context;
  CHECK(cpu::append(cpu, f.store, narrow.context.keys, good.values) == errc::bad_shape);
  CHECK(cpu::append(cpu, f.store, many.context.keys, many.context.values) == errc::bad_shape);
  view<const float, 3> null = good.keys;
  null.data = nullptr;
  CHECK(cpu::append(cpu, f.store, null, good.values) == errc::null_view);
  view<const float, 3> gappy = good.keys;
  gappy.stride[2] = 2;
  CHECK(cpu::append(cpu, f.store, gappy, good.values) == errc::bad_stride);
  const view<const bf16, 3> own_k(f.keys.data(), 1, 2, 8), own_v(f.values.data(), 1, 2, 16);
  CHECK(cpu::append(cpu, f.store, own_k, own_v) == errc::overlapping_memory);
  // A key that lies among the values, 16 wide rows read as 8 wide ones.
  const view<const bf16, 3> key_in_values(f.values.data(), 1, 2, 8);
  const std::vector<bf16> other(2 * 16);
  CHECK(cpu::append(cpu, f.store, key_in_values, view<const bf16, 3>(other.data(), 1, 2, 16)) ==
        errc::overlapping_memory);
  dense_store<bf16> broken = f.store;
  broken.length = 8;
  CHECK(cpu::append(cpu, broken, good.keys, good.values) == errc::bad_count);
  paged_fixture p;
  p.table[1] = 7;
  CHECK(cpu::append(cpu, p.store, good.keys, good.values) == errc::bad_shape);
  CHECK(f.store.length == 0);
}

TEST_CASE("any store gives back the tokens that were appended last") {
  random_source rng(4);
  const random_layer<f32> rows(rng, 6, 2, 8, 16), other(rng, 2, 2, 8, 16);
  const cpu::backend cpu;
  paged_fixture p;
  const auto try_out = [&](auto& store, const auto& read) {
    REQUIRE(cpu::append(cpu, store, rows.context.keys, rows.context.values).ok());
    CHECK(cpu::roll_back(cpu, store, 7) == errc::bad_count);
    CHECK(cpu::roll_back(cpu, store, -1) == errc::bad_count);
    CHECK(store.length == 6);
    REQUIRE(cpu::roll_back(cpu, store, 0).ok());
    REQUIRE(cpu::roll_back(cpu, store, 2).ok());
    CHECK(store.next_position() == 4);
    const float before = read(3);
    REQUIRE(cpu::append(cpu, store, other.context.keys, other.context.values).ok());
    CHECK(store.next_position() == 6);
    CHECK(read(3) == before);
    CHECK(read(4) == static_cast<float>(f16(other.context.keys(0, 1, 5))));
    REQUIRE(cpu::roll_back(cpu, store, 6).ok());
    CHECK(store.next_position() == 0);
    store.length = 1000;
    CHECK(cpu::roll_back(cpu, store, 1) == errc::bad_count);
  };
  try_out(p.store, [&](index_t i) {
    return static_cast<float>(
        p.store.key_pages(p.table[static_cast<std::size_t>(i / 4)], 1, i % 4, 5));
  });
  std::vector<f16> keys(2 * 7 * 8), values(2 * 7 * 16);
  dense_store<f16> dense;
  dense.keys = view(keys.data(), 2, 7, 8);
  dense.values = view(values.data(), 2, 7, 16);
  try_out(dense, [&](index_t i) { return static_cast<float>(dense.keys(1, i, 5)); });
}
