#include "cuda/attend_case.hpp"

// Attention over packed stores of one kind; other kinds and rows have files of their own, for each
// kind makes its own kernels.

namespace {

using rota::errc;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::gpu;
using rota_test::packed_case;

/// Largest relative error that rounding to 16 bits may cause.
constexpr double tolerance = 4e-3;

using layout = rota::cuda::packed<rota::bf16, 8>;

TEST_CASE("one query over a packed store, with both ways of copying") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    for (const int architecture : {80, 90})
      CHECK(packed_case<layout>(1, {}).error(seed, architecture) < tolerance);
  });
}

TEST_CASE("one to sixteen query heads a kv head, one to forty query tokens") {
  attend_shape s;
  for (const index_t group : {1, 3, 8, 16})
    for (const index_t queries : {1, 4}) {
      s.group = group;
      s.queries = queries;
      CHECK(packed_case<layout>(10, s).error(0, 90) < tolerance);
    }
  s.group = 4;
  s.queries = 40;  // more than the tail: some queries stand inside the context
  CHECK(packed_case<layout>(11, s).error(1, 90) < tolerance);
}

TEST_CASE("without causality, with a sliding window, with another scale") {
  attend_shape s;
  s.queries = 5;
  s.params.causal = false;
  CHECK(packed_case<layout>(12, s).error(0, 90) < tolerance);
  s.params.causal = true;
  s.params.sliding_window = 100;
  CHECK(packed_case<layout>(13, s).error(0, 90) < tolerance);
  s.params.sliding_window = 0;
  s.params.scale = 0.3f;
  CHECK(packed_case<layout>(14, s).error(0, 80) < tolerance);
}

TEST_CASE("stores of all lengths around a tile, and empty ones") {
  attend_shape s;
  s.kv_heads = 1;
  s.tail = 0;
  for (const index_t tokens : {0, 1, 15, 16, 17, 63, 64, 65, 129}) {
    s.tokens = tokens;
    CHECK(packed_case<layout>(15, s).error(0, 90) < tolerance);
  }
  s.keep_tokens = 0;  // nothing but a tail
  s.tail = 3;
  s.tokens = 20;
  CHECK(packed_case<layout>(16, s).error(0, 90) < tolerance);
  s.keep_tokens = 1;
  s.keep_groups = 0;  // keys alone
  CHECK(packed_case<layout>(16, s).error(0, 90) < tolerance);
}

TEST_CASE("sequences of different lengths in one batch") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    CHECK(rota_test::ragged_error<layout>(17, {0, 1, 700, 64, 3}, seed) < tolerance);
  });
  // More than one launch takes.
  CHECK(rota_test::ragged_error<layout>(18, std::vector<index_t>(33, 20), 0) < tolerance);
}

TEST_CASE("results do not depend on the schedule") {
  attend_shape s;
  s.tokens = 500;
  const std::vector<float> first = packed_case<layout>(19, s).result(0);
  rota_test::for_each_schedule(
      [&](std::uint64_t seed) { CHECK(packed_case<layout>(19, s).result(seed) == first); });
}

TEST_CASE("a handle that says another than its memory") {
  attend_shape s;
  s.tokens = 70;
  s.rank = 8;
  const packed_case<layout> c(25, s);
  const gpu g;
  rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  store.store.shape.record.code_rank = 0;
  store.store.shape.fill_code = 0;
  const rota_test::device_item<layout::store_type> item(c.queries, store.store, s.queries,
                                                        s.kv_heads * s.group);
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{item.item}, {}).ok());
  CHECK(g.result() == errc::bad_store);
  for (const float x : item.out.download()) CHECK(x != x);  // untouched
}

}  // namespace
