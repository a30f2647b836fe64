#include <algorithm>
#include <cstring>
#include <memory>

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <rota/cpu/thread_pool.hpp>

#include "support/attend_case.hpp"
#include "support/plain_stores.hpp"

// Attention where memory and work are not as they usually are: few tokens for many threads, views
// that are not aligned, views larger than 4 GB; and how exact it is over bf16, which some machines
// multiply on a unit of its own.

namespace {

using namespace rota;
using namespace rota_test;

/// Memory of which only the pages that are written exist.
struct sparse_memory {
  std::size_t bytes;
  void* data;
  explicit sparse_memory(std::size_t n)
      : bytes(n),
        data(mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0)) {}
  ~sparse_memory() {
    if (data != MAP_FAILED) munmap(data, bytes);
  }
  sparse_memory(const sparse_memory&) = delete;
  sparse_memory& operator=(const sparse_memory&) = delete;
};

template <codec C>
void fill(random_source& rng, const dense_store<C>& store) {
  for (index_t h = 0; h < store.kv_heads(); ++h)
    for (index_t i = 0; i < store.length; ++i) {
      for (index_t c = 0; c < store.d_k(); ++c) store.keys(h, i, c) = C(rng.normal());
      for (index_t c = 0; c < store.d_v(); ++c) store.values(h, i, c) = C(rng.normal());
    }
}

/// Rows `gap` elements apart, the first of them `offset` elements behind an aligned address.
template <element E>
void check_odd_rows(index_t d, index_t gap, index_t offset, index_t group) {
  random_source rng(5);
  constexpr index_t heads = 2, tokens = 150;
  std::vector<E> keys(heads * tokens * (d + gap) + 16), values(keys.size());
  dense_store<E> store;
  const index_t row = d + gap;
  store.keys = view<E, 3>(keys.data() + offset, {heads, tokens, d}, {tokens * row, row, 1});
  store.values = view<E, 3>(values.data() + offset, {heads, tokens, d}, {tokens * row, row, 1});
  store.length = tokens;
  fill(rng, store);
  attend_case<dense_store<E>> c(rng, store, 2, group);
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
  CHECK(error_against_reference(c.item, {}) <= 1e-5);
}

/// check(store, query tokens) for stores of one kv head on both sides of what kernels take at once.
template <class Check>
void each_bf16_shape(random_source& rng, Check check) {
  for (const index_t tokens : {1, 15, 16, 17, 31, 33, 63, 64, 65, 130, 700})
    for (const index_t queries : {1, 2, 4, 6, 7, 16})
      for (const index_t d : {32, 64, 128, 96, 160}) {
        plain_shape s;
        s.kv_heads = 1;
        s.length = tokens;
        s.d_k = s.d_v = d;
        CAPTURE(tokens);
        CAPTURE(queries);
        CAPTURE(d);
        check(random_dense<bf16>(rng, s), queries);
      }
}

}  // namespace

TEST_CASE("more threads than work") {
  random_source rng(1);
  for (const index_t length : {0, 1, 3}) {
    plain_shape s;
    s.length = length;
    const random_dense<bf16> dense(rng, s);
    attend_case<dense_store<bf16>> c(rng, dense.store, 1, 4);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
    const std::vector<float> out = c.out, lse = c.lse;
    cpu::thread_pool pool(16);
    std::fill(c.out.begin(), c.out.end(), 0.5f);
    REQUIRE(run_attend(pool.get_backend(), std::vector{c.item}, {}).ok());
    CHECK(c.out == out);
    CHECK(c.lse == lse);
  }
}

TEST_CASE("one head of a long context, and many short sequences, are the same on 16 threads") {
  random_source rng(2);
  std::vector<std::unique_ptr<random_dense<bf16>>> stores;
  std::vector<std::unique_ptr<attend_case<dense_store<bf16>>>> cases;
  std::vector<attend_item<dense_store<bf16>>> items;
  for (int i = 0; i < 60; ++i) {
    plain_shape s;
    s.length = i == 0 ? 40000 : i % 7;
    s.d_k = s.d_v = 64;
    stores.push_back(std::make_unique<random_dense<bf16>>(rng, s));
    cases.push_back(
        std::make_unique<attend_case<dense_store<bf16>>>(rng, stores.back()->store, 1, 4));
    items.push_back(cases.back()->item);
  }
  REQUIRE(run_attend(cpu::backend{}, items, {}).ok());
  for (const std::size_t i : {0, 1, 6, 59}) CHECK(error_against_reference(items[i], {}) <= 1e-5);
  std::vector<std::vector<float>> outs;
  for (const auto& c : cases) outs.push_back(c->out);
  cpu::thread_pool pool(16);
  for (auto& c : cases) std::fill(c->out.begin(), c->out.end(), 0.5f);
  REQUIRE(run_attend(pool.get_backend(), items, {}).ok());
  for (std::size_t i = 0; i < cases.size(); ++i) CHECK(cases[i]->out == outs[i]);
}

TEST_CASE("rows that are aligned to nothing") {
  for (const index_t group : {1, 4, 16}) {
    check_odd_rows<bf16>(64, 1, 1, group);
    check_odd_rows<bf16>(128, 3, 5, group);
    check_odd_rows<float>(64, 1, 1, group);
    check_odd_rows<f16>(64, 5, 3, group);
  }
}

TEST_CASE("views of more than 4 GB") {
  constexpr index_t heads = 3, tokens = 40, d = 64;
  constexpr index_t head_stride = (index_t{5} << 30) / 2 / 2;  // elements: 2.5 GB
  constexpr std::size_t bytes = std::size_t{3} * head_stride * sizeof(bf16);
  const sparse_memory keys(bytes), values(bytes);
  REQUIRE(keys.data != MAP_FAILED);
  REQUIRE(values.data != MAP_FAILED);
  dense_store<bf16> store;
  store.keys =
      view<bf16, 3>(static_cast<bf16*>(keys.data), {heads, tokens, d}, {head_stride, d, 1});
  store.values =
      view<bf16, 3>(static_cast<bf16*>(values.data), {heads, tokens, d}, {head_stride, d, 1});
  store.length = tokens;
  random_source rng(3);
  fill(rng, store);
  attend_case<dense_store<bf16>> c(rng, store, 2, 4);
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
  CHECK(error_against_reference(c.item, {}) <= 1e-5);
}

TEST_CASE("attention over bf16 does not round queries or weights to bf16") {
  random_source rng(4);
  each_bf16_shape(rng, [&](const random_dense<bf16>& dense, index_t queries) {
    attend_case<dense_store<bf16>> c(rng, dense.store, queries, 4);
    const attend_params params{0, queries < 16, 0};
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, params).ok());
    CHECK(error_against_reference(c.item, params) <= 1e-5);
  });
}

TEST_CASE("nor to f16 where outputs are; for outputs of bf16 weights may be rounded to it") {
  random_source rng(9);
  each_bf16_shape(rng, [&](const random_dense<bf16>& dense, index_t queries) {
    attend_case<dense_store<bf16>> floats(rng, dense.store, queries, 4);
    attend_case<dense_store<bf16>, f16> halves(rng, dense.store, queries, 4);
    attend_case<dense_store<bf16>, bf16> c(rng, dense.store, queries, 4);
    const attend_params params{0, queries < 16, 0};
    take_queries(floats, halves);
    REQUIRE(run_attend(cpu::backend{}, std::vector{halves.item}, params).ok());
    REQUIRE(run_attend(cpu::backend{}, std::vector{floats.item}, params).ok());
    CHECK(halves.lse == floats.lse);
    CHECK(std::equal(halves.out.begin(), halves.out.end(), floats.out.begin(),
                     [](f16 x, float y) { return x.bits == f16(y).bits; }));

    take_queries(floats, c);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, params).ok());
    REQUIRE(run_attend(cpu::backend{}, std::vector{floats.item}, params).ok());
    // Once for outputs, once for weights.
    CHECK(error_against_reference(c.item, params) <= 2 * attend_tolerance<bf16>);
    for (std::size_t i = 0; i < c.lse.size(); ++i) {
      const float want = floats.lse[i];
      CHECK((c.lse[i] == want || std::fabs(c.lse[i] - want) <= 0x1p-9f + 1e-5f));
    }
  });
}

TEST_CASE_TEMPLATE("what a row does not see, and other rows, change no bit of it", Io, float,
                   bf16) {
  random_source rng(7);
  for (const index_t group : {1, 3, 4, 8, 12, 14, 16, 24, 32}) {  // one set of 16 rows, or several
    CAPTURE(group);
    plain_shape s;
    s.kv_heads = 1;
    s.length = 64;
    s.d_k = s.d_v = 128;
    random_dense<bf16> dense(rng, s);
    attend_case<dense_store<bf16>, Io> c(rng, dense.store, 2, group);
    const attend_params causal{0, true, 0};
    const attend_params window{0, true, 60};
    const auto result = [&](const attend_params& params) {
      REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, params).ok());
      return c.out;
    };
    const std::vector<Io> want = result(causal), want_all = result({0, false, 0}),
                          want_window = result(window);
    const auto row = static_cast<std::size_t>(group * 128);
    const auto is_same = [&](std::size_t first, std::size_t end, const std::vector<Io>& to) {
      return std::memcmp(c.out.data() + first, to.data() + first, (end - first) * sizeof(Io)) == 0;
    };
    for (const float x : {std::numeric_limits<float>::quiet_NaN(), INFINITY, 1e37f}) {
      // Runs with column 5 of a token and of a query replaced by x.
      const auto with = [&](index_t token, const attend_params& params, auto&& check) {
        const bf16 key = dense.store.keys(0, token, 5), value = dense.store.values(0, token, 5);
        dense.store.keys(0, token, 5) = dense.store.values(0, token, 5) = bf16(x);
        result(params);
        check();
        dense.store.keys(0, token, 5) = key;
        dense.store.values(0, token, 5) = value;
      };
      // The first query token does not see the last token, the second not the third.
      with(63, causal, [&] { CHECK(is_same(0, row, want)); });
      with(3, window, [&] { CHECK(is_same(row, 2 * row, want_window)); });

      for (const index_t head : {index_t{0}, group - 1}) {
        const auto query = static_cast<std::size_t>(head * 128);
        const Io before = c.q[query + 3];
        c.q[query + 3] = Io(x);
        for (const bool is_causal : {true, false}) {
          const std::vector<Io>& others = is_causal ? want : want_all;
          result({0, is_causal, 0});
          CHECK(is_same(0, query, others));
          CHECK(is_same(query + 128, 2 * row, others));
        }
        c.q[query + 3] = before;
      }
    }
  }
}

TEST_CASE_TEMPLATE("huge values of both signs cancel as they do in floats", Io, float, bf16) {
  random_source rng(12);
  plain_shape s;
  s.kv_heads = 1;
  s.length = 300;
  s.d_k = s.d_v = 64;
  random_dense<bf16> dense(rng, s);
  for (index_t t = 0; t < s.length; ++t)
    for (index_t k = 0; k < 64; ++k) {
      dense.store.keys(0, t, k) = bf16(0.0f);
      dense.store.values(0, t, k) = bf16(t % 2 == 0 ? 0x1p125f : -0x1p125f);
    }
  for (const index_t queries : {1, 2, 4, 7, 8, 16}) {
    CAPTURE(queries);
    attend_case<dense_store<bf16>, Io> c(rng, dense.store, queries, 4);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {0, false, 0}).ok());
    for (const Io x : c.out) CHECK(static_cast<float>(x) == 0.0f);
  }
}

TEST_CASE_TEMPLATE("weights that are used add up to 1", Io, float, bf16) {
  // All tokens but one have the same weight: what rounding takes from it does not cancel.
  random_source rng(8);
  plain_shape s;
  s.kv_heads = 1;
  s.length = 100;
  s.d_k = s.d_v = 64;
  random_dense<bf16> dense(rng, s);
  for (index_t t = 0; t < 100; ++t)
    for (index_t k = 0; k < 64; ++k) {
      if (t > 1) dense.store.keys(0, t, k) = dense.store.keys(0, 1, k);
      dense.store.values(0, t, k) = bf16(1.0f);
    }
  attend_case<dense_store<bf16>, Io> c(rng, dense.store, 16, 4);
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
  for (const Io x : c.out) CHECK(std::fabs(static_cast<float>(x) - 1) <= 2e-6);
}

TEST_CASE_TEMPLATE("infinities of bf16 rows are what they are to floats", Io, float, bf16) {
  // A row of -inf keys has no weight; one value of +inf makes its column +inf and no other, one of
  // NaN NaN; and only for those who see it.
  random_source rng(6);
  const float inf = std::numeric_limits<float>::infinity();
  for (const index_t queries : {1, 4, 5, 7, 16, 17}) {
    CAPTURE(queries);
    plain_shape s;
    s.length = 300;  // the first block is seen by all
    s.d_k = s.d_v = 64;
    random_dense<bf16> dense(rng, s);
    attend_case<dense_store<bf16>, Io> c(rng, dense.store, queries, 4);
    for (Io& x : c.q) x = Io(std::fabs(static_cast<float>(x)) + 1);
    c.q[3] = Io(1.0f);  // one term and no more: what is left of it is 0
    // Zero to the matrix unit, and -inf times it is NaN there.
    for (std::size_t row = 0; row < c.q.size(); row += 64) c.q[row + 1] = Io(1e-39f);
    for (index_t h = 0; h < s.kv_heads; ++h) {
      for (index_t k = 0; k < 64; ++k) dense.store.keys(h, 5, k) = bf16(-inf);
      for (index_t k = 0; k < 64; ++k) dense.store.values(h, 5, k) = bf16(7.0f);
      dense.store.values(h, 70, 9) = bf16(inf);
      dense.store.values(h, 70, 40) = bf16(-inf);
      dense.store.values(h, 71, 33) = bf16(std::numeric_limits<float>::quiet_NaN());
      dense.store.values(h, 299, 11) = bf16(inf);  // seen by the last query alone
    }
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {0, true, 0}).ok());
    for (index_t t = 0; t < queries; ++t)
      for (index_t h = 0; h < 4 * s.kv_heads; ++h)
        for (index_t k = 0; k < 64; ++k) {
          CAPTURE(t);
          CAPTURE(h);
          CAPTURE(k);
          const auto x = static_cast<float>(c.item.out(t, h, k));
          if (k == 9 || (k == 11 && t == queries - 1))
            CHECK(x == inf);
          else if (k == 40)
            CHECK(x == -inf);
          else if (k == 33)
            CHECK(std::isnan(x));
          else
            CHECK(std::isfinite(x));
        }
  }
}
