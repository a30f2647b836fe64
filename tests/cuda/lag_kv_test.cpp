#include <rota/cuda/score.cuh>

#include "cuda/device_scores.hpp"
#include "support/random_layer.hpp"
#include "support/scoring.hpp"

// LagKV, compared with the CPU's.

namespace {

using rota::bf16;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota::lag_kv;
using rota_test::device_array;
using rota_test::device_context;
using rota_test::device_token_scores;
using rota_test::for_each_schedule;
using rota_test::gpu;
using rota_test::random_layer;
using rota_test::random_source;
using rota_test::relative_difference;

/// Shares as on the CPU, and ranks but for neighbours whose shares differ in the last place.
template <rota::element E>
void compare(std::uint64_t schedule, const lag_kv::params& given, const random_layer<E>& l) {
  lag_kv::params p = given;
  CAPTURE(p.sinks);
  CAPTURE(p.lag);
  p.ranked = false;
  const auto shares = rota_test::token_scores(lag_kv{}, p, l.context);
  CHECK(relative_difference(device_token_scores(schedule, lag_kv{}, p, l.context), shares) < 1e-6);
  p.ranked = true;
  const auto got = device_token_scores(schedule, lag_kv{}, p, l.context);
  const auto want = rota_test::token_scores(lag_kv{}, p, l.context);
  int swapped = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    swapped += got[i] != want[i];
    CHECK(std::abs(got[i] - want[i]) <= 1.01f / static_cast<float>(p.lag));
  }
  CHECK(swapped <= 2);
}

TEST_CASE("LagKV scores as on the CPU") {
  random_source rng(1);
  const random_layer<bf16> usual(rng, 4 + 3 * 16 + 5, 2, 64, 32);
  const random_layer<f16> odd(rng, 40, 1, 8, 40);
  for_each_schedule([&](std::uint64_t schedule) {
    compare(schedule, {4, 16, true}, usual);
    compare(schedule, {0, 5, true}, odd);
  });
  const random_layer<float> floats(rng, 70, 3, 12, 8);
  compare(1, {2, 33, true}, floats);   // more tokens than warps
  compare(2, {3, 1, true}, floats);    // each alone
  compare(3, {0, 35, true}, floats);   // just two partitions
  compare(1, {0, 36, true}, floats);   // too few tokens: positions
  compare(2, {100, 4, true}, floats);  // nothing but sinks
  compare(3, {1, INT32_MAX, true}, floats);
  const random_layer<float> narrow(rng, 12, 2, 4, 4);
  compare(1, {1, 3, true}, narrow);
}

TEST_CASE("LagKV: equal tokens rank by their index, constant channels say nothing") {
  random_source rng(2);
  random_layer<float> l(rng, 40, 1, 8, 8);
  for (std::vector<float>* rows : {&l.keys, &l.values})
    for (std::size_t i = 0; i < rows->size(); ++i) {
      if (i / 8 >= 10 && i / 8 < 20) (*rows)[i] = (*rows)[i % 8 + 80];  // tokens 10 .. 19 alike
      if (i % 8 == 3) (*rows)[i] = 7;
    }
  compare(1, {0, 10, true}, l);
  const auto ranks = device_token_scores(0, lag_kv{}, {0, 10, true}, l.context);
  for (std::size_t i = 0; i < 10; ++i) CHECK(ranks[10 + i] == static_cast<float>(i) / 10);
}

TEST_CASE("LagKV reads a length that lies in device memory") {
  random_source rng(3);
  const random_layer<bf16> l(rng, 60, 2, 16, 8);
  for (const std::int32_t length : {45, 44, 14, 3, 0}) {
    const device_array<std::int32_t> tokens(std::vector<std::int32_t>{length});
    auto host = l.context;
    host.device_tokens = tokens.data();
    auto shorter = l.context;
    shorter.keys.extent[0] = shorter.values.extent[0] = length;
    const auto got = device_token_scores(0, lag_kv{}, {4, 10, false}, host);
    const auto want = rota_test::token_scores(lag_kv{}, {4, 10, false}, shorter);
    for (std::size_t h = 0; h < 2; ++h)
      for (std::size_t i = 0; i < 60; ++i) {
        const float score = got[h * 60 + i];
        const auto n = static_cast<std::size_t>(length);
        if (i < n)
          CHECK(score == doctest::Approx(want[h * n + i]).epsilon(1e-5));
        else
          CHECK(score != score);
      }
  }
}

TEST_CASE("LagKV: views with strides, and rows of scores with gaps") {
  random_source rng(4);
  const random_layer<bf16> l(rng, 40, 2, 16, 8);
  const lag_kv::params p{1, 8, true};
  const auto whole = device_token_scores(0, lag_kv{}, p, l.context);
  const gpu g;
  const device_context<rota::context<bf16>> d(l.context);
  const device_array<float> out(70);
  const rota_test::device_workspace ws(
      rota::cuda::score_tokens_workspace_bytes(g.backend(), lag_kv{}, p, d.c));
  for (index_t h = 0; h < 2; ++h) {
    auto one = d.c;
    one.keys.data += h * one.keys.stride[1];
    one.values.data += h * one.values.stride[1];
    one.keys.extent[1] = one.values.extent[1] = 1;
    REQUIRE(score_tokens(g.backend(), lag_kv{}, p, one,
                         rota::view<float, 2>(out.data(), {1, 40}, {60, 1}), ws.get())
                .ok());
    REQUIRE(g.result().ok());
    const auto mine = out.download();
    for (std::size_t i = 0; i < 40; ++i)
      CHECK(mine[i] == whole[static_cast<std::size_t>(h) * 40 + i]);
  }
}

TEST_CASE("LagKV refuses bad parameters, little memory and a bad length; nothing is written") {
  random_source rng(5);
  const random_layer<bf16> l(rng, 30, 1, 16, 8);
  const device_context<rota::context<bf16>> d(l.context);
  const device_array<float> out(30);
  const device_array<std::int32_t> length(std::vector<std::int32_t>{31});
  const auto score = [&](const gpu& g, const lag_kv::params& p, const auto& c, std::size_t bytes) {
    const rota_test::device_workspace ws(bytes);
    const rota::status s = score_tokens(g.backend(), lag_kv{}, p, c,
                                        rota::view<float, 2>(out.data(), 1, 30), ws.get());
    for (const float x : out.download()) CHECK(x != x);
    return s;
  };
  const auto refuse = [&](const lag_kv::params& p, std::size_t bytes, errc code, const char* name) {
    const gpu g;
    const rota::status s = score(g, p, d.c, bytes);
    CHECK(s == code);
    CHECK(std::string(s.argument) == name);
    CHECK(g.result().ok());
  };
  refuse({-1, 8, true}, 1 << 20, errc::bad_parameter, "sinks");
  refuse({4, 0, true}, 1 << 20, errc::bad_parameter, "lag");
  refuse({4, index_t{1} << 31, true}, 1 << 20, errc::bad_parameter, "lag");
  refuse({4, 8, true}, 64, errc::workspace_too_small, "ws");
  auto c = d.c;
  c.device_tokens = length.data();
  const gpu g;
  CHECK(score(g, {4, 8, true}, c, 1 << 20).ok());
  CHECK(g.result() == errc::bad_count);
  auto none = d.c;
  none.keys.extent[0] = none.values.extent[0] = 0;
  const gpu other;
  CHECK(
      score_tokens(other.backend(), lag_kv{}, {}, none, rota::view<float, 2>(out.data(), 1, 0), {})
          .ok());
}

}  // namespace
