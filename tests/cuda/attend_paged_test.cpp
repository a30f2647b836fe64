#include "cuda/attend_case.hpp"

// Rows in pages of all kinds of sizes.

namespace {

using rota::bf16;
using rota::errc;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::gpu;
using rota_test::paged_case;

constexpr double tolerance = 4e-3;

TEST_CASE("pages of one to two hundred tokens") {
  attend_shape s;
  s.tokens = 150;
  for (const index_t page_tokens : {1, 3, 16, 64, 100, 200})
    CHECK(paged_case<bf16>(61, s, page_tokens).error(0) < tolerance);
  s.d = 128;
  s.queries = 9;
  CHECK(paged_case<bf16>(62, s, 7).error(1) < tolerance);
  s.params.sliding_window = 40;
  rota_test::for_each_schedule(
      [&](std::uint64_t seed) { CHECK(paged_case<bf16>(63, s, 24).error(seed) < tolerance); });
}

TEST_CASE("a table with a page that is not there, or too large a table") {
  const index_t d = 64, pages = 9;
  const rota_test::device_array<bf16> keys(static_cast<std::size_t>(pages * 16 * d));
  const rota_test::device_array<bf16> values(keys.size());
  rota::paged_store<bf16> store;
  store.key_pages = rota::view<bf16, 4>(keys.data(), pages, 1, 16, d);
  store.value_pages = rota::view<bf16, 4>(values.data(), pages, 1, 16, d);
  store.length = 9 * 16;
  const std::vector<float> queries(static_cast<std::size_t>(2 * d), 1.0f);
  for (const std::int32_t wrong : {-1, 9, 1 << 30}) {
    const gpu g(0, 80);
    std::vector<std::int32_t> table{0, 1, 2, 3, 4, 5, 6, 7, 8};
    table[7] = wrong;
    const rota_test::device_array<std::int32_t> device_table(table);
    store.block_table = rota::view<const std::int32_t, 1>(device_table.data(), pages);
    const rota_test::device_item<rota::paged_store<bf16>> item(queries, store, 1, 2);
    REQUIRE(rota_test::run_attend(g.backend(), std::vector{item.item}, {}).ok());
    CHECK(g.result() == errc::bad_store);
    for (const float x : item.out.download()) CHECK(x != x);  // untouched
    store.block_table.extent[0] = index_t{1} << 28;
    CHECK(rota_test::run_attend(g.backend(), std::vector{item.item}, {}) == errc::bad_shape);
  }
}

}  // namespace
