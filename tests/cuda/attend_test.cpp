#include <cmath>
#include <limits>

#include "cuda/attend_case.hpp"

namespace {

using rota::bf16;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::dense_case;
using rota_test::gpu;
using rota_test::packed_case;
using rota_test::paged_case;

/// Largest relative error that rounding to 16 bits may cause.
constexpr double tolerance = 4e-3;

template <int W, class E = bf16>
using packed = rota::cuda::packed<E, W>;

TEST_CASE("one query over a dense store") {
  rota_test::for_each_schedule(
      [](std::uint64_t seed) { CHECK(dense_case<bf16>(1, {}).error(seed, 80) < tolerance); });
}

TEST_CASE("one query over a packed store, with both ways of copying") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    for (const int architecture : {80, 90})
      CHECK(packed_case<packed<8>>(1, {}).error(seed, architecture) < tolerance);
  });
}

TEST_CASE("one query over a paged store") {
  rota_test::for_each_schedule(
      [](std::uint64_t seed) { CHECK(paged_case<bf16>(1, {}, 16).error(seed) < tolerance); });
  CHECK(paged_case<f16>(2, {}, 80).error(0) < tolerance);
}

TEST_CASE("heads of 128, wide and narrow groups, both elements") {
  attend_shape s;
  s.d = 128;
  CHECK(dense_case<f16>(3, s).error(0, 90) < tolerance);
  CHECK(packed_case<packed<8>>(3, s).error(0, 90) < tolerance);
  CHECK(packed_case<packed<16>>(4, s).error(1, 90) < tolerance);
  CHECK(packed_case<packed<32, f16>>(5, s).error(2, 80) < tolerance);
  CHECK(packed_case<rota::cuda::packed<bf16, 16, rota::cuda::in_order>>(7, s).error(3, 90) <
        tolerance);
}

TEST_CASE("stores of floats, nearly without error") {
  constexpr double float_tolerance = 2e-6;
  attend_shape s;
  s.tokens = 150;
  CHECK(dense_case<float>(19, s).error(0, 80) < float_tolerance);
  CHECK(paged_case<float>(20, s, 16).error(1) < float_tolerance);
  s.params.sliding_window = 60;
  s.queries = 6;
  CHECK(packed_case<packed<8, float>>(21, s).error(2, 90) < float_tolerance);
  s.means = true;
  CHECK(packed_case<packed<4, float>>(22, s).error(3, 80) < float_tolerance);
  s.means = false;
  s.rank = 8;
  CHECK(packed_case<packed<16, float>>(23, s).error(0, 90) < float_tolerance);
  s.rank = 0;
  s.d = 128;
  CHECK(packed_case<packed<16, float>>(24, s).error(1, 90) < float_tolerance);
}

TEST_CASE("fills") {
  for (const int architecture : {80, 90}) {
    attend_shape s;
    s.means = true;
    CHECK(packed_case<packed<8>>(8, s).error(0, architecture) < tolerance);
    s.means = false;
    for (const index_t rank : {8, 32, 40}) {
      s.rank = rank;
      CHECK(packed_case<packed<16>>(9, s).error(1, architecture) < tolerance);
    }
  }
}

TEST_CASE("one to sixteen query heads a kv head, one to forty query tokens") {
  attend_shape s;
  for (const index_t group : {1, 3, 8, 16})
    for (const index_t queries : {1, 4}) {
      s.group = group;
      s.queries = queries;
      CHECK(packed_case<packed<8>>(10, s).error(0, 90) < tolerance);
    }
  s.group = 4;
  s.queries = 40;  // more than the tail: some queries stand inside the context
  CHECK(packed_case<packed<8>>(11, s).error(1, 90) < tolerance);
  CHECK(dense_case<bf16>(11, s).error(2, 80) < tolerance);
}

TEST_CASE("without causality, with a sliding window, with another scale") {
  attend_shape s;
  s.queries = 5;
  s.params.causal = false;
  CHECK(packed_case<packed<8>>(12, s).error(0, 90) < tolerance);
  CHECK(dense_case<bf16>(12, s).error(0, 80) < tolerance);
  s.params.causal = true;
  s.params.sliding_window = 100;
  CHECK(packed_case<packed<8>>(13, s).error(0, 90) < tolerance);
  CHECK(dense_case<bf16>(13, s).error(0, 80) < tolerance);
  CHECK(paged_case<bf16>(13, s, 16).error(0) < tolerance);
  s.params.sliding_window = 0;
  s.params.scale = 0.3f;
  CHECK(dense_case<bf16>(14, s).error(0, 80) < tolerance);
}

TEST_CASE("stores of all lengths around a tile, and empty ones") {
  attend_shape s;
  s.kv_heads = 1;
  s.tail = 0;
  for (const index_t tokens : {0, 1, 15, 16, 17, 63, 64, 65, 129}) {
    s.tokens = tokens;
    CHECK(dense_case<bf16>(15, s).error(0, 80) < tolerance);
    CHECK(packed_case<packed<8>>(15, s).error(0, 90) < tolerance);
  }
  s.keep_tokens = 0;  // nothing but a tail
  s.tail = 3;
  s.tokens = 20;
  CHECK(packed_case<packed<8>>(16, s).error(0, 90) < tolerance);
  s.keep_tokens = 1;
  s.keep_groups = 0;  // keys alone
  CHECK(packed_case<packed<8>>(16, s).error(0, 90) < tolerance);
}

TEST_CASE("sequences of different lengths in one batch") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    CHECK(rota_test::ragged_error<packed<8>>(17, {0, 1, 700, 64, 3}, seed) < tolerance);
  });
  // More than one launch takes.
  CHECK(rota_test::ragged_error<packed<8>>(18, std::vector<index_t>(33, 20), 0) < tolerance);
}

TEST_CASE("results do not depend on the schedule") {
  attend_shape s;
  s.tokens = 500;
  const std::vector<float> first = packed_case<packed<8>>(19, s).result(0);
  rota_test::for_each_schedule(
      [&](std::uint64_t seed) { CHECK(packed_case<packed<8>>(19, s).result(seed) == first); });
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

#if !defined(__CUDACC__)
TEST_CASE("keys are read without conflicts of banks, values nearly so") {
  const auto ratio = [](auto layout, double keep) {
    attend_shape s;
    s.d = 128;
    s.tokens = 640;
    s.tail = 0;
    s.keep_tokens = 1;
    s.keep_groups = keep;
    const simt::bank_counts banks = packed_case<decltype(layout)>(21, s).banks(90);
    return static_cast<double>(banks.wavefronts) / static_cast<double>(banks.phases);
  };
  CHECK(ratio(packed<16>{}, 1) == 1);     // whole records
  CHECK(ratio(packed<16>{}, 0) < 1.01);   // keys, and the same zeros for all
  CHECK(ratio(packed<16>{}, 0.5) < 1.7);  // half of the phases are keys
  CHECK(ratio(rota::cuda::packed<bf16, 16, rota::cuda::in_order>{}, 1) == 8);
}
#endif

TEST_CASE("a handle that says another than its memory") {
  using layout = packed<8>;
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
