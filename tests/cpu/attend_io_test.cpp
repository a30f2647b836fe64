#include <algorithm>

#include <doctest/doctest.h>

#include <rota/attend/any_op.hpp>
#include <rota/store/any_store.hpp>

#include "support/attend_case.hpp"
#include "support/packed_sample.hpp"
#include "support/plain_stores.hpp"

// Queries and outputs of bf16 and f16: over every kind of store, the results are those of the same
// queries as floats, rounded once. (Where rows go through a matrix unit, attend_limits_test.cpp
// says what becomes of bf16.)

namespace {

using namespace rota;
using namespace rota_test;

const cpu::backend one;

template <class Io, class Store>
void check_store(random_source& rng, const Store& store, index_t n) {
  attend_case<Store, Io> c(rng, store, n, 4);
  attend_case<Store> floats(rng, store, n, 4);
  take_queries(floats, c);
  attend_params params;
  params.causal = rng.chance(0.7);
  REQUIRE(run_attend(one, std::vector{c.item}, params).ok());
  REQUIRE(run_attend(one, std::vector{floats.item}, params).ok());
  CHECK(error_against_reference(c.item, params) <= attend_tolerance<Io>);
  CHECK(c.lse == floats.lse);
  for (std::size_t i = 0; i < c.out.size(); ++i) CHECK(c.out[i].bits == Io(floats.out[i]).bits);
}

template <class Io, element E>
void check_stores(std::uint64_t seed) {
  random_source rng(seed);
  for (const index_t n : {1, 3, 40}) {
    // Long enough that its tokens are cut into chunks, which are merged.
    const random_dense<E> dense(rng, {2, 16, 24, n < 40 ? 1500 : 70, 3, false, 16});
    check_store<Io>(rng, dense.store, n);
    const random_paged<E> paged(rng, {2, 16, 24, 90, 0, false, 16});
    check_store<Io>(rng, paged.store, n);
    sample_options o;
    const packed_sample<packed<E, 8>> means(rng, o);
    check_store<Io>(rng, means.store, n);
    o.means = false;
    o.rank = 4;
    const packed_sample<packed<E, 8>> low_rank(rng, o);
    check_store<Io>(rng, low_rank.store, n);
  }
}

}  // namespace

TEST_CASE("the results of floats, rounded once") {
  check_stores<bf16, bf16>(1);
  check_stores<f16, bf16>(2);
  check_stores<bf16, f16>(3);
  check_stores<f16, float>(4);
}

TEST_CASE("an empty context, and outputs that no half can hold") {
  random_source rng(5);
  const random_dense<float> empty(rng, {1, 16, 16, 0, 4, false, 16});
  attend_case<dense_store<float>, f16> nothing(rng, empty.store, 2, 1);
  REQUIRE(run_attend(one, std::vector{nothing.item}, {}).ok());
  for (const f16 x : nothing.out) CHECK(x.bits == 0);
  for (const float l : nothing.lse) CHECK(l == -std::numeric_limits<float>::infinity());

  const random_dense<float> large(rng, {1, 16, 16, 1, 0, false, 16});
  large.store.values(0, 0, 0) = 1e6f;
  attend_case<dense_store<float>, f16> c(rng, large.store, 1, 1);
  REQUIRE(run_attend(one, std::vector{c.item}, {}).ok());
  CHECK(static_cast<float>(c.out[0]) == std::numeric_limits<float>::infinity());
}

TEST_CASE("rows of queries and outputs with holes between them") {
  random_source rng(6);
  const random_dense<bf16> dense(rng, {2, 16, 16, 50, 0, false, 16});
  using item_type = attend_item<dense_store<bf16>, bf16>;
  attend_case<dense_store<bf16>, bf16> tight(rng, dense.store, 3, 2);
  std::vector<bf16> q(3 * 4 * 21 + 2 * 5, bf16(__builtin_nanf(""))), out(q.size(), bf16(9.0f));
  item_type item = tight.item;
  item.q = view<const bf16, 3>(q.data(), {3, 4, 16}, {4 * 21 + 5, 21, 1});
  item.out = view<bf16, 3>(out.data(), {3, 4, 16}, {4 * 21 + 5, 21, 1});
  item.lse = {};
  for (index_t i = 0; i < 3; ++i)
    for (index_t h = 0; h < 4; ++h)
      std::copy_n(tight.item.q.row(i, h), 16, q.data() + i * (4 * 21 + 5) + h * 21);
  REQUIRE(run_attend(one, std::vector{tight.item}, {}).ok());
  REQUIRE(run_attend(one, std::vector{item}, {}).ok());
  std::size_t written = 0;
  for (index_t i = 0; i < 3; ++i)
    for (index_t h = 0; h < 4; ++h)
      for (index_t c = 0; c < 16; ++c)
        CHECK(item.out(i, h, c).bits == tight.item.out(i, h, c).bits);
  for (const bf16 x : out) written += static_cast<float>(x) != 9.0f ? 1 : 0;
  CHECK(written <= 3 * 4 * 16);
}

TEST_CASE("what is refused is refused for every element, by its bytes") {
  random_source rng(7);
  const random_dense<bf16> dense(rng, {1, 16, 16, 20, 0, false, 16});
  attend_case<dense_store<bf16>, bf16> c(rng, dense.store, 2, 2);
  const auto refused = [&](const auto& item, errc code, const char* argument) {
    const status s = run_attend(one, std::vector{item}, {});
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(c.is_untouched());
  };
  auto item = c.item;
  item.out.data = c.q.data() + 63;  // the last element of the queries
  refused(item, errc::overlapping_memory, "out");
  item = c.item;
  item.out.extent[2] = 8;
  refused(item, errc::bad_shape, "out");
  item = c.item;
  item.q.data = nullptr;
  refused(item, errc::null_view, "q");
  item = c.item;
  item.lse.data = reinterpret_cast<float*>(c.out.data() + 62);
  refused(item, errc::overlapping_memory, "lse");
}

TEST_CASE("through an operator and through any store") {
  using op = attention<packed<bf16, 8>>;
  random_source rng(8);
  const packed_sample<packed<bf16, 8>> sample(rng, {});
  attend_case<op::store_type, bf16> direct(rng, sample.store, 2, 2), c(rng, sample.store, 2, 2);
  c.q = direct.q;
  REQUIRE(run_attend(one, std::vector{direct.item}, {}).ok());
  const std::span<const attend_item<op::store_type, bf16>> batch(&c.item, 1);
  const aligned_memory ws(op::attend_workspace_bytes(one, batch, {}));
  const auto same = [&] {
    for (std::size_t i = 0; i < c.out.size(); ++i) CHECK(c.out[i].bits == direct.out[i].bits);
    CHECK(c.lse == direct.lse);
    std::fill(c.out.begin(), c.out.end(), bf16(0.0f));
  };
  REQUIRE(op::attend(one, batch, {}, ws.workspace()).ok());
  same();
  REQUIRE(op::attend(one, c.item, {}, ws.workspace()).ok());
  same();
  any_store<op::store_type, dense_store<bf16>> any;
  any = sample.store;
  REQUIRE(attend_workspace_bytes(one, c.item.q, any, c.item.out, c.item.lse, {}) == ws.size());
  REQUIRE(attend(one, c.item.q, any, c.item.out, c.item.lse, {}, ws.workspace()).ok());
  same();
  const view<bf16, 3> q(c.q.data(), 2, 4, 16);  // as the views of written memory are
  REQUIRE(attend(one, q, any, c.item.out, c.item.lse, {}, ws.workspace()).ok());
  same();
}
