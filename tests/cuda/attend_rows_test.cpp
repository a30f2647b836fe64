#include <cmath>
#include <limits>

#include "cuda/attend_case.hpp"

// Attention over dense and paged rows.

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::dense_case;
using rota_test::paged_case;

/// Largest relative error that rounding to 16 bits may cause.
constexpr double tolerance = 4e-3;

TEST_CASE("one query over a dense store") {
  rota_test::for_each_schedule(
      [](std::uint64_t seed) { CHECK(dense_case<bf16>(1, {}).error(seed, 80) < tolerance); });
}

TEST_CASE("one query over a paged store") {
  rota_test::for_each_schedule(
      [](std::uint64_t seed) { CHECK(paged_case<bf16>(1, {}, 16).error(seed) < tolerance); });
  CHECK(paged_case<f16>(2, {}, 80).error(0) < tolerance);
}

TEST_CASE("rows: many queries, masks, scales") {
  attend_shape s;
  s.group = 4;
  s.queries = 40;  // some queries stand inside the context
  CHECK(dense_case<bf16>(11, s).error(2, 80) < tolerance);
  s.group = 1;
  s.queries = 5;
  s.params.causal = false;
  CHECK(dense_case<bf16>(12, s).error(0, 80) < tolerance);
  s.params.causal = true;
  s.params.sliding_window = 100;
  CHECK(dense_case<bf16>(13, s).error(0, 80) < tolerance);
  CHECK(paged_case<bf16>(13, s, 16).error(0) < tolerance);
  s.params.sliding_window = 0;
  s.params.scale = 0.3f;
  CHECK(dense_case<bf16>(14, s).error(0, 80) < tolerance);
}

TEST_CASE("rows of all lengths around a tile, and none") {
  attend_shape s;
  s.kv_heads = 1;
  s.tail = 0;
  for (const index_t tokens : {0, 1, 15, 16, 17, 63, 64, 65, 129}) {
    s.tokens = tokens;
    CHECK(dense_case<bf16>(15, s).error(0, 80) < tolerance);
  }
}

TEST_CASE("queries are rounded to the store's element") {
  dense_case<bf16> c(22, {}), rounded(22, {});
  for (std::size_t i = 0; i < c.queries.size(); ++i) {
    c.queries[i] *= 1.001f;
    rounded.queries[i] = static_cast<float>(bf16(c.queries[i]));
  }
  CHECK(c.outputs(0) == rounded.outputs(0));
}

TEST_CASE("values that are not finite") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  // A NaN key that is seen makes its rows NaN; minus infinity as a logit has no weight.
  dense_case<bf16> c(20, {});
  c.keys[5 * 64] = bf16(std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> out = c.outputs(0);
  for (std::size_t i = 0; i < 4 * 64; ++i) CHECK(std::isnan(out[i]));
  for (std::size_t i = 4 * 64; i < 8 * 64; ++i) CHECK(std::isfinite(out[i]));
  dense_case<bf16> d(20, {});
  for (std::size_t i = 0; i < 64; ++i) d.keys[6 * 64 + i] = bf16(0.0f);
  d.keys[6 * 64] = bf16(-infinity);
  for (float& x : d.queries) x = 1;
  CHECK(d.error(0, 80) < tolerance);
}

/// A prefill: all queries at once, each sees the tokens up to its own.
double prefill_error(index_t tokens, index_t group, index_t d) {
  attend_shape s;
  s.tokens = tokens;
  s.tail = 0;
  s.kv_heads = 1;
  s.group = group;
  s.d = d;
  s.queries = tokens;
  return dense_case<bf16>(31, s).error(0, 90);
}

TEST_CASE("a block of 2048 queries") {
  CHECK(prefill_error(2048, 1, 64) < tolerance);
}

TEST_CASE("a block of 2048 queries of several heads" * doctest::skip(rota_test::emulated)) {
  CHECK(prefill_error(2048, 4, 128) < tolerance);
}

}  // namespace
