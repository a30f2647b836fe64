#include "cuda/attend_case.hpp"

// Partial results of more blocks than a warp has lanes, on a device that is taken to be large.

namespace {

using rota::bf16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::gpu;

using layout = rota::cuda::packed<bf16, 16>;

constexpr double tolerance = 4e-3;

attend_shape long_shape() {
  attend_shape s;
  s.tokens = 2400;
  s.kv_heads = 1;
  s.group = 2;
  s.keep_tokens = 1;
  return s;
}

/// A backend whose work is cut for many multiprocessors.
rota::cuda::backend large_backend(const gpu& g) {
  rota::cuda::backend b = g.backend();
  b.device.multiprocessors = 40;
  return b;
}

/// Outputs and error over a packed store that a block a record works on.
struct packed_result {
  std::vector<float> out;
  double error = 0;

  packed_result(std::uint64_t seed, const attend_shape& s) {
    const rota_test::packed_case<layout> c(51, s);
    const gpu g(seed);
    rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
    c.fill(g, store);
    const rota_test::device_item<layout::store_type> item(c.queries, store.store, s.queries,
                                                          s.kv_heads * s.group);
    REQUIRE(rota_test::run_attend(large_backend(g), std::vector{item.item}, s.params).ok());
    REQUIRE(g.result().ok());
    out = item.out.download();
    error = item.error(store.to_host().store, s.params);
  }
};

TEST_CASE("zeros, means and codes, from forty blocks") {
  attend_shape s = long_shape();
  CHECK(packed_result(0, s).error < tolerance);
  s.rank = 16;
  CHECK(packed_result(1, s).error < tolerance);
  s.rank = 0;
  s.means = true;
  const std::vector<float> first = packed_result(0, s).out;
  rota_test::for_each_schedule([&](std::uint64_t seed) {
    const packed_result r(seed, s);
    CHECK(r.error < tolerance);
    CHECK(r.out == first);
  });
}

TEST_CASE("more blocks than there is work") {
  const index_t capacity = 4000, d = 64;
  rota_test::random_source rng(52);
  std::vector<bf16> keys(static_cast<std::size_t>(2 * capacity * d)), values(keys.size());
  for (bf16& x : keys) x = bf16(rng.normal());
  for (bf16& x : values) x = bf16(rng.normal());
  std::vector<float> queries(static_cast<std::size_t>(4 * d));
  for (float& x : queries) x = static_cast<float>(bf16(rng.normal()));
  const gpu g(0, 80);
  const rota_test::device_array<bf16> device_keys(keys), device_values(values);
  for (const index_t length : {0, 1, 3, 70, 700}) {
    const auto over = [&](bf16* k, bf16* v) {
      rota::dense_store<bf16> store;
      store.keys = rota::view<bf16, 3>(k, 2, capacity, d);
      store.values = rota::view<bf16, 3>(v, 2, capacity, d);
      store.length = length;
      return store;
    };
    const auto store = over(device_keys.data(), device_values.data());
    const rota_test::device_item<rota::dense_store<bf16>> item(queries, store, 1, 4);
    REQUIRE(rota_test::run_attend(large_backend(g), std::vector{item.item}, {}).ok());
    REQUIRE(g.result().ok());
    CHECK(item.error(over(keys.data(), values.data()), {}) < tolerance);
  }
}

TEST_CASE("more segments than a block has threads") {
  const index_t items = 32, heads = 8, capacity = 40, d = 64;
  rota_test::random_source rng(53);
  std::vector<bf16> keys(static_cast<std::size_t>(heads * capacity * d)), values(keys.size());
  for (bf16& x : keys) x = bf16(rng.normal());
  for (bf16& x : values) x = bf16(rng.normal());
  std::vector<float> queries(static_cast<std::size_t>(heads * d));
  for (float& x : queries) x = static_cast<float>(bf16(rng.normal()));
  const gpu g(1, 80);
  const rota_test::device_array<bf16> device_keys(keys), device_values(values);
  using store_type = rota::dense_store<bf16>;
  const auto over = [&](bf16* k, bf16* v, index_t length) {
    store_type store;
    store.keys = rota::view<bf16, 3>(k, heads, capacity, d);
    store.values = rota::view<bf16, 3>(v, heads, capacity, d);
    store.length = length;
    return store;
  };
  std::vector<store_type> stores;
  for (index_t i = 0; i < items; ++i)
    stores.push_back(over(device_keys.data(), device_values.data(), 1 + i));
  std::vector<std::unique_ptr<rota_test::device_item<store_type>>> memory;
  std::vector<rota::attend_item<store_type>> batch;
  for (const store_type& store : stores) {
    memory.push_back(
        std::make_unique<rota_test::device_item<store_type>>(queries, store, 1, heads));
    batch.push_back(memory.back()->item);
  }
  REQUIRE(rota_test::run_attend(g.backend(), batch, {}).ok());
  REQUIRE(g.result().ok());
  for (index_t i = 0; i < items; ++i)
    CHECK(memory[static_cast<std::size_t>(i)]->error(over(keys.data(), values.data(), 1 + i), {}) <
          tolerance);
}

}  // namespace
