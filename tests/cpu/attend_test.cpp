#include <memory>

#include <doctest/doctest.h>

#include <rota/cpu/thread_pool.hpp>

#include "support/attend_case.hpp"
#include "support/plain_stores.hpp"

// Attention over dense and paged stores against the double oracle.

namespace {

using namespace rota;
using namespace rota_test;

attend_params random_params(random_source& rng) {
  attend_params p;
  p.causal = rng.chance(0.8);
  if (rng.chance(0.3))
    p.sliding_window = rng.pick<index_t>({1, 2, 7, 64, 130, 1000, INT64_MAX - 20, INT64_MAX});
  if (rng.chance(0.2)) p.scale = 0.3f;
  return p;
}

plain_shape random_shape(random_source& rng) {
  plain_shape s;
  s.kv_heads = rng.between(1, 3);
  s.d_k = rng.pick<index_t>({64, 80, 96, 128, 256, 1, 7, 33});
  s.d_v = rng.chance(0.6) ? s.d_k : rng.pick<index_t>({64, 80, 96, 128, 256, 1, 5, 50});
  s.page_tokens = rng.pick<index_t>({1, 16, 128, 300});
  s.token_first = rng.chance(0.4);
  s.spare = rng.pick<index_t>({0, 1, 40});
  return s;
}

/// A ragged batch over stores of one kind.
template <template <element> class Random, element E>
void check_batch(random_source& rng) {
  using Store = decltype(Random<E>::store);
  plain_shape s = random_shape(rng);
  const attend_params params = random_params(rng);
  const index_t group = rng.pick<index_t>({1, 2, 3, 4, 5, 7, 8, 16});
  std::vector<std::unique_ptr<Random<E>>> stores;
  std::vector<std::unique_ptr<attend_case<Store>>> cases;
  std::vector<attend_item<Store>> items;
  for (index_t i = rng.between(1, 3); i > 0; --i) {
    s.length = rng.pick<index_t>({0, 1, 2, 15, 16, 17, 127, 128, 129, 300, 700});
    stores.push_back(std::make_unique<Random<E>>(rng, s));
    const index_t n = rng.pick<index_t>({0, 1, 1, 1, 2, 16, 40});
    cases.push_back(std::make_unique<attend_case<Store>>(rng, stores.back()->store, n, group));
    items.push_back(cases.back()->item);
    CAPTURE(s.length);
    CAPTURE(n);
  }
  CAPTURE(s.kv_heads);
  CAPTURE(s.d_k);
  CAPTURE(s.d_v);
  CAPTURE(group);
  CAPTURE(params.sliding_window);
  CAPTURE(params.causal);
  const status done = run_attend(cpu::backend{}, items, params);
  REQUIRE_MESSAGE(done.ok(), done.what(), " ", done.argument);
  for (const auto& item : items)
    CHECK(error_against_reference(item, params, s.d_v < 16 ? 1 : 0) <= attend_tolerance<E>);
}

template <template <element> class Random, element E>
void check_batches(std::uint64_t seed, int rounds) {
  random_source rng(seed);
  for (int i = 0; i < rounds; ++i) {
    CAPTURE(i);
    check_batch<Random, E>(rng);
  }
}

/// Long query blocks take several tiles of rows, long contexts several chunks.
template <element E>
void check_long(index_t length, index_t n, index_t group, const attend_params& params) {
  random_source rng(99);
  plain_shape s;
  s.kv_heads = 2;
  s.d_k = s.d_v = 64;
  s.length = length;
  const random_dense<E> dense(rng, s);
  attend_case<dense_store<E>> c(rng, dense.store, n, group);
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, params).ok());
  CHECK(error_against_reference(c.item, params) <= attend_tolerance<E>);
}

}  // namespace

TEST_CASE("attention over a dense store equals the oracle") {
  check_batches<random_dense, f32>(1, 150);
  check_batches<random_dense, bf16>(2, 100);
  check_batches<random_dense, f16>(3, 100);
}

TEST_CASE("attention over a paged store equals the oracle") {
  check_batches<random_paged, f32>(4, 150);
  check_batches<random_paged, bf16>(5, 100);
  check_batches<random_paged, f16>(6, 60);
}

TEST_CASE("long query blocks and long contexts equal the oracle") {
  check_long<f32>(300, 300, 3, {});
  check_long<f32>(260, 200, 1, {0, true, 70});
  check_long<bf16>(256, 256, 4, {0, false, 0});
  check_long<f32>(5000, 2, 2, {});
  check_long<f32>(5000, 3, 1, {0, true, 2000});
}

TEST_CASE("more queries than positions: the first ones see nothing") {
  random_source rng(7);
  plain_shape s;
  s.length = 3;
  const random_dense<f32> dense(rng, s);
  attend_case<dense_store<f32>> c(rng, dense.store, 5, 2);
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
  CHECK(error_against_reference(c.item, {}) <= 1e-5);
  CHECK(c.item.out(1, 1, 0) == 0.0f);
  CHECK(c.item.lse(1, 1) == -INFINITY);
  CHECK(std::isfinite(c.item.lse(2, 0)));
}

TEST_CASE("the log-sum-exp may be left out") {
  random_source rng(8);
  plain_shape s;
  s.length = 20;
  const random_dense<f32> dense(rng, s);
  attend_case<dense_store<f32>> with(rng, dense.store, 2, 4);
  const std::vector<float> want = [&] {
    REQUIRE(run_attend(cpu::backend{}, std::vector{with.item}, {}).ok());
    return with.out;
  }();
  std::fill(with.lse.begin(), with.lse.end(), 7.0f);
  with.item.lse = {};
  REQUIRE(run_attend(cpu::backend{}, std::vector{with.item}, {}).ok());
  CHECK(with.out == want);
  CHECK(with.lse == std::vector<float>(with.lse.size(), 7.0f));
}

TEST_CASE("results are the same bits for any number of threads, in a batch or alone") {
  random_source rng(9);
  plain_shape s;
  s.kv_heads = 2;
  s.d_k = s.d_v = 64;
  std::vector<std::unique_ptr<random_dense<bf16>>> stores;
  std::vector<std::unique_ptr<attend_case<dense_store<bf16>>>> cases;
  std::vector<attend_item<dense_store<bf16>>> items;
  for (index_t length : {90000, 1, 300, 0, 5000}) {
    s.length = length;
    stores.push_back(std::make_unique<random_dense<bf16>>(rng, s));
    const index_t n = length == 300 ? 50 : 1;
    cases.push_back(
        std::make_unique<attend_case<dense_store<bf16>>>(rng, stores.back()->store, n, 4));
    items.push_back(cases.back()->item);
  }
  REQUIRE(run_attend(cpu::backend{}, items, {}).ok());
  std::vector<std::vector<float>> outs, lses;
  for (const auto& c : cases) {
    outs.push_back(c->out);
    lses.push_back(c->lse);
  }
  for (int threads : {1, 2, 3, 5}) {
    cpu::thread_pool pool(threads);
    for (auto& c : cases) {
      std::fill(c->out.begin(), c->out.end(), 0.5f);
      std::fill(c->lse.begin(), c->lse.end(), 0.5f);
    }
    REQUIRE(run_attend(pool.get_backend(), items, {}).ok());
    for (std::size_t i = 0; i < cases.size(); ++i) {
      CHECK(cases[i]->out == outs[i]);
      CHECK(cases[i]->lse == lses[i]);
    }
  }
  for (std::size_t i = 0; i < cases.size(); ++i) {
    std::fill(cases[i]->out.begin(), cases[i]->out.end(), 0.5f);
    REQUIRE(run_attend(cpu::backend{}, std::vector{items[i]}, {}).ok());
    CHECK(cases[i]->out == outs[i]);
    CHECK(cases[i]->lse == lses[i]);
  }
}

TEST_CASE("an empty batch is legal and needs no memory") {
  const std::vector<attend_item<dense_store<f32>>> none;
  CHECK(cpu::attend<dense_store<f32>>(cpu::backend{}, none, {}, {}).ok());
}
