#include <cstring>
#include <memory>
#include <type_traits>

#include <doctest/doctest.h>

#include <rota/cpu/thread_pool.hpp>

#include "support/attend_case.hpp"
#include "support/fake_store.hpp"
#include "support/plain_stores.hpp"

// Attention over hand-built blocks of every value order against the oracle: masks without groups,
// blocks without tokens, orders mixed in one head, means.

namespace {

using namespace rota;
using namespace rota_test;

template <element E>
fake_shape random_shape(random_source& rng) {
  constexpr index_t unit = 16 / static_cast<index_t>(sizeof(E));
  fake_shape s;
  s.kv_heads = rng.between(1, 2);
  s.d_k = rng.pick<index_t>({64, 80, 20, 128});
  s.width = unit * rng.pick<index_t>({1, 2, 3, 4, 8, 5, 16});
  s.d_v = s.width * rng.pick<index_t>({1, 2, 3, 8, 16});
  s.means = rng.chance(0.5);
  s.gaps = rng.chance(0.5);
  return s;
}

template <element E>
void add_random_blocks(random_source& rng, fake_store<E>& store) {
  const index_t blocks = rng.between(0, 6);
  for (index_t i = 0; i < blocks; ++i) {
    const auto order = static_cast<value_order>(rng.below(3));
    index_t count = rng.pick<index_t>({0, 1, 2, 31, 64, 100, 128, 200, 256});
    if (order == value_order::whole && rng.chance(0.2)) count = 700;
    store.add_block(count, order, rng.pick<double>({0, 0.1, 0.5, 0.9, 1}));
  }
  if (rng.chance(0.2)) store.set_next_position(store.next_position() + 5);
}

/// Outputs of bf16 are rounded once, and weights for them.
template <element E, element Io>
constexpr double tolerance = (std::is_same_v<Io, bf16> ? 2 : 1) * attend_tolerance<E>;

template <element E, element Io = float>
void check_random_blocks(std::uint64_t seed, int rounds) {
  random_source rng(seed);
  for (int round = 0; round < rounds; ++round) {
    const fake_shape shape = random_shape<E>(rng);
    fake_store<E> store(rng, shape);
    add_random_blocks(rng, store);
    attend_params params;
    params.causal = rng.chance(0.8);
    if (rng.chance(0.4)) params.sliding_window = rng.pick<index_t>({1, 3, 60, 200, 400});
    const index_t n = rng.pick<index_t>({0, 1, 1, 2, 5, 16});
    attend_case<fake_store<E>, Io> c(rng, store, n, rng.pick<index_t>({1, 2, 3, 4, 6, 8}));
    CAPTURE(round);
    CAPTURE(shape.d_k);
    CAPTURE(shape.d_v);
    CAPTURE(shape.width);
    CAPTURE(shape.means);
    CAPTURE(n);
    const status done = run_attend(cpu::backend{}, std::vector{c.item}, params);
    REQUIRE_MESSAGE(done.ok(), done.what(), " ", done.argument);
    CHECK(error_against_reference(c.item, params, 0.5) <= tolerance<E, Io>);
  }
}

}  // namespace

TEST_CASE("attention over blocks of every order equals the oracle") {
  check_random_blocks<f32>(1, 250);
  check_random_blocks<bf16>(2, 150);
  check_random_blocks<bf16, bf16>(12, 150);
  check_random_blocks<f16>(3, 100);
}

TEST_CASE("tokens without groups keep their share of the softmax") {
  random_source rng(4);
  for (const value_order order : {value_order::token_major, value_order::group_major}) {
    fake_store<f32> store(rng, {1, 16, 32, 8, false, false});
    store.add_block(50, order, 0.0);
    attend_case<fake_store<f32>> c(rng, store, 1, 4);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
    for (float x : c.out) CHECK(x == 0.0f);
    for (float x : c.lse) CHECK(std::isfinite(x));
  }
}

TEST_CASE("with every group dropped the output is the mean") {
  random_source rng(5);
  for (const value_order order : {value_order::token_major, value_order::group_major}) {
    fake_store<f32> store(rng, {1, 16, 32, 8, true, false});
    store.add_block(200, order, 0.0);
    attend_case<fake_store<f32>> c(rng, store, 1, 4);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
    for (index_t head = 0; head < 4; ++head)
      for (index_t column = 0; column < 32; ++column)
        CHECK(c.item.out(0, head, column) ==
              doctest::Approx(static_cast<double>(store.means(0)[column])).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE("blocks of one token each", Io, float, bf16) {
  random_source rng(6);
  fake_store<bf16> store(rng, {2, 64, 64, 16, true, true});
  for (int i = 0; i < 300; ++i) store.add_block(1, static_cast<value_order>(rng.below(3)), 0.5);
  for (const index_t window : {0, 17}) {
    attend_case<fake_store<bf16>, Io> c(rng, store, 7, 4);
    const attend_params params{0, true, window};
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, params).ok());
    CHECK(error_against_reference(c.item, params) <= tolerance<bf16, Io>);
  }
}

TEST_CASE_TEMPLATE("packed blocks give the same bits for any number of threads", Io, float, bf16) {
  random_source rng(7);
  fake_store<bf16> store(rng, {2, 64, 64, 16, true, false});
  for (int i = 0; i < 60; ++i) store.add_block(128, static_cast<value_order>(rng.below(3)), 0.5);
  for (const index_t queries : {1, 16}) {
    attend_case<fake_store<bf16>, Io> c(rng, store, queries, 4);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
    CHECK(error_against_reference(c.item, {}) <= tolerance<bf16, Io>);
    const std::vector<Io> out = c.out;
    const std::vector<float> lse = c.lse;
    for (int threads : {2, 3, 5}) {
      cpu::thread_pool pool(threads);
      std::fill(c.out.begin(), c.out.end(), Io(0.0f));
      REQUIRE(run_attend(pool.get_backend(), std::vector{c.item}, {}).ok());
      CHECK(std::memcmp(c.out.data(), out.data(), out.size() * sizeof(Io)) == 0);
      CHECK(c.lse == lse);
    }
  }
}

TEST_CASE("NaN and infinite logits are defined") {
  random_source rng(8);
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto run = [&](float planted, auto&& check) {
    for (const index_t tokens : {3, 300}) {
      fake_store<f32> store(rng, {1, 4, 16, 4, true, false});
      store.add_block(tokens, value_order::whole, 1);
      store.add_block(20, value_order::group_major, 0.5);
      attend_case<fake_store<f32>> c(rng, store, 3, 2);
      for (float& x : c.q) x = 1;
      store.key(0, 1, 18, 1) = planted;  // the last token but one: the first query does not see it
      REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
      check(c);
    }
  };
  const auto poisons = [&](const auto& c) {
    CHECK(std::isfinite(c.item.lse(0, 0)));
    CHECK(std::isfinite(c.item.out(0, 1, 15)));
    for (index_t i : {1, 2})
      for (index_t head : {0, 1}) {
        CHECK(std::isnan(c.item.lse(i, head)));
        CHECK(std::isnan(c.item.out(i, head, 0)));
        CHECK(std::isnan(c.item.out(i, head, 15)));
      }
  };
  run(nan, poisons);
  run(inf, poisons);
  run(-inf, [&](const auto& c) { CHECK(error_against_reference(c.item, {}) <= 1e-5); });
}

TEST_CASE("only logits of -inf are like no tokens") {
  random_source rng(9);
  fake_store<f32> store(rng, {1, 4, 16, 4, true, false});
  store.add_block(9, value_order::whole, 1);
  for (index_t j = 0; j < 9; ++j) store.key(0, 0, j, 0) = -std::numeric_limits<float>::infinity();
  attend_case<fake_store<f32>> c(rng, store, 1, 1);
  for (float& x : c.q) x = 1;
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
  for (float x : c.out) CHECK(x == 0.0f);
  CHECK(c.lse[0] == -std::numeric_limits<float>::infinity());
}

TEST_CASE("what a row does not see does not reach it, whatever it holds") {
  random_source rng(10);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const index_t group : {1, 2, 4}) {
    fake_store<f32> store(rng, {1, 16, 16, 4, false, false});
    store.add_block(100, value_order::whole, 1);
    store.add_block(6, value_order::group_major, 0.7);
    attend_case<fake_store<f32>> c(rng, store, 6, group);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
    const std::vector<float> before = c.out;
    for (float& x : store.values(0, 1)) x = nan;
    store.key(0, 1, 0, 3) = nan;
    attend_case<fake_store<f32>> again(rng, store, 6, group);
    again.q = c.q;
    again.item.q.data = again.q.data();
    store.set_next_position(105);  // the first query stands at 99: before the second block
    REQUIRE(run_attend(cpu::backend{}, std::vector{again.item}, {}).ok());
    CHECK(std::isfinite(again.item.lse(0, 0)));
    for (index_t column = 0; column < 16; ++column)
      CHECK(std::isfinite(again.item.out(0, 0, column)));
    CHECK(std::isnan(again.item.lse(1, 0)));
  }
}

TEST_CASE_TEMPLATE("huge logits neither overflow nor lose the rest", Io, float, bf16) {
  random_source rng(11);
  const random_dense<bf16> halves(rng, {1, 64, 64, 300, 0, false, 16});
  const random_dense<float> floats(rng, {1, 64, 64, 300, 0, false, 16});
  const auto check = [&](const auto& store, index_t queries, float scale) {
    attend_case<std::decay_t<decltype(store)>, Io> c(rng, store, queries, 4);
    const attend_params params{scale, true, 0};
    CAPTURE(queries);
    CAPTURE(scale);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, params).ok());
    CHECK(error_against_reference(c.item, params) <=
          (std::is_same_v<Io, bf16> ? 2 * attend_tolerance<bf16>
           : scale > 1              ? 3e-4
                                    : 1e-5));
  };
  for (const index_t queries : {1, 2, 3, 4, 12})
    for (const float scale : {1e-6f, 30.0f, 1000.0f, 1e8f, 1e9f, 1e12f, 1e30f}) {
      check(halves.store, queries, scale);
      check(floats.store, queries, scale);
    }
}
