#include <cstring>
#include <memory>

#include <rota/attend/attention.hpp>

#include "cuda/attend_case.hpp"

// Queries and outputs of bf16 and f16: over every kind of store, the results are those of the same
// queries as floats, rounded once.

namespace {

using rota::attend_item;
using rota::bf16;
using rota::dense_store;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::device_array;
using rota_test::device_item;
using rota_test::gpu;
using rota_test::random_source;

// One kind of packed store: kernels are compiled for each.
using layout = rota::cuda::packed<bf16, 8>;

/// Random numbers that Io has.
template <class Io>
std::vector<float> numbers(random_source& rng, std::size_t n) {
  std::vector<float> all(n);
  for (float& x : all) x = static_cast<float>(Io(rng.normal()));
  return all;
}

template <class Io>
bool are_rounded(const std::vector<Io>& got, const std::vector<float>& floats) {
  bool same = got.size() == floats.size();
  for (std::size_t i = 0; i < floats.size(); ++i) same = same && got[i].bits == Io(floats[i]).bits;
  return same;
}

/// Over one store, whatever it holds.
template <class Io, class Store>
void check_store(const gpu& g, random_source& rng, const Store& store, const attend_shape& s) {
  const index_t heads = s.kv_heads * s.group;
  const auto q = numbers<Io>(rng, static_cast<std::size_t>(s.queries * heads * s.d));
  const device_item<Store> floats(q, store, s.queries, heads);
  const device_item<Store, Io> halves(q, store, s.queries, heads);
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{floats.item}, s.params).ok());
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{halves.item}, s.params).ok());
  REQUIRE(g.result().ok());
  CHECK(are_rounded(halves.out.download(), floats.out.download()));
  CHECK(halves.lse.download() == floats.lse.download());
}

template <class Io>
void check_packed(std::uint64_t seed, int architecture, const attend_shape& s) {
  const rota_test::packed_case<layout> c(7, s);
  const gpu g(seed, architecture);
  rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  random_source rng(8);
  check_store<Io>(g, rng, store.store, s);
}

/// Dense rows whose number lies in device memory, or pages of 16 tokens, the last one first.
template <class E>
struct plain_case {
  device_array<E> keys, values;
  device_array<std::int32_t> length;
  device_array<std::int32_t> table;
  dense_store<E> dense;
  rota::paged_store<E> paged;

  plain_case(random_source& rng, const attend_shape& s)
      : keys(rows(rng, s)),
        values(rows(rng, s)),
        length(std::vector<std::int32_t>{static_cast<std::int32_t>(s.tokens - 3)}),
        table(pages(s)) {
    dense.keys = rota::view<E, 3>(keys.data(), s.kv_heads, s.tokens, s.d);
    dense.values = rota::view<E, 3>(values.data(), s.kv_heads, s.tokens, s.d);
    dense.length = s.tokens;
    dense.device_length = length.data();
    paged.key_pages = rota::view<E, 4>(keys.data(), s.tokens / 16, s.kv_heads, 16, s.d);
    paged.value_pages = rota::view<E, 4>(values.data(), s.tokens / 16, s.kv_heads, 16, s.d);
    paged.block_table = rota::view<const std::int32_t, 1>(table.data(), s.tokens / 16);
    paged.length = s.tokens;
  }

 private:
  static std::vector<E> rows(random_source& rng, const attend_shape& s) {
    std::vector<E> all(static_cast<std::size_t>(s.kv_heads * s.tokens * s.d));
    for (E& x : all) x = E(rng.normal());
    return all;
  }
  static std::vector<std::int32_t> pages(const attend_shape& s) {
    std::vector<std::int32_t> all;
    for (index_t p = s.tokens / 16; p > 0; --p) all.push_back(static_cast<std::int32_t>(p - 1));
    return all;
  }
};

template <class Io, class E>
void check_dense(std::uint64_t seed, const attend_shape& s) {
  random_source rng(9);
  const plain_case<E> c(rng, s);
  check_store<Io>(gpu(seed, 80), rng, c.dense, s);
}

void check_paged(std::uint64_t seed, const attend_shape& s) {
  random_source rng(9);
  const plain_case<bf16> c(rng, s);
  check_store<bf16>(gpu(seed, 80), rng, c.paged, s);
}

attend_shape small_shape() {
  attend_shape s;
  s.tokens = 96;
  s.kv_heads = 1;
  s.group = 3;
  return s;
}

TEST_CASE("the results of floats, rounded once") {
  attend_shape s = small_shape();
  rota_test::for_each_schedule([&](std::uint64_t seed) {
    check_dense<bf16, bf16>(seed, s);
    check_paged(seed, s);
    check_packed<bf16>(seed, 90, s);
  });
  check_packed<f16>(0, 80, s);
  check_dense<f16, f16>(1, s);
  check_dense<bf16, f16>(1, s);
  check_dense<f16, float>(2, s);
  s.queries = 7;  // more rows than one fragment
  s.means = true;
  check_packed<bf16>(1, 80, s);
  check_packed<f16>(2, 90, s);
  s.means = false;
  s.rank = 8;
  s.d = 128;
  check_packed<bf16>(3, 90, s);
  check_dense<bf16, float>(3, s);
}

TEST_CASE("against the double reference") {
  attend_shape s = small_shape();
  const rota_test::packed_case<layout> c(10, s);
  const gpu g;
  rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  random_source rng(11);
  const auto q = numbers<bf16>(rng, static_cast<std::size_t>(s.group * s.d));
  const device_item<layout::store_type, bf16> item(q, store.store, 1, s.group);
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{item.item}, {}).ok());
  REQUIRE(g.result().ok());
  CHECK(item.error(store.to_host().store, {}) < 6e-3);  // of it 2e-3 for the rounded outputs
}

TEST_CASE("an empty store gives zeros, and outputs that no half can hold infinity") {
  random_source rng(12);
  device_array<float> keys(64), values(std::vector<float>(64, 1e6f));
  keys.upload(std::vector<float>(64, 1.0f));
  dense_store<float> one;
  one.keys = rota::view<float, 3>(keys.data(), 1, 1, 64);
  one.values = rota::view<float, 3>(values.data(), 1, 1, 64);
  dense_store<float> none = one;
  one.length = 1;
  const gpu g;
  const auto q = numbers<f16>(rng, 64);
  const device_item<dense_store<float>, f16> first(q, none, 1, 1), second(q, one, 1, 1);
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{first.item, second.item}, {}).ok());
  REQUIRE(g.result().ok());
  for (const f16 x : first.out.download()) CHECK(x.bits == 0);
  for (const f16 x : second.out.download()) CHECK(x.bits == 0x7c00);
}

/// Two items over one dense store, queries and outputs with holes.
struct holed {
  static constexpr index_t head_stride = 66, token_stride = 4 * 66 + 2, out_stride = 65;
  random_source rng{13};
  attend_shape s = small_shape();
  plain_case<bf16> rows{rng, s};
  std::vector<float> values = numbers<bf16>(rng, 2 * token_stride);
  device_item<dense_store<bf16>, bf16> item;

  holed() : item(values, rows.dense, 1, 4) {
    item.item.q = {item.q.data(), {2, 3, 64}, {token_stride, head_stride, 1}};
    item.item.out = {item.out.data() + 1, {2, 3, 64}, {4 * out_stride, out_stride, 1}};
    item.item.lse = {};
  }
};

TEST_CASE("rows with holes between them") {
  const holed h;
  const gpu g;
  std::vector<float> q;
  for (index_t i = 0; i < 2; ++i)
    for (index_t head = 0; head < 3; ++head)
      for (index_t c = 0; c < 64; ++c)
        q.push_back(
            h.values[static_cast<std::size_t>(i * h.token_stride + head * h.head_stride + c)]);
  const device_item<dense_store<bf16>, bf16> tight(q, h.rows.dense, 2, 3);
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{h.item.item, tight.item}, {}).ok());
  REQUIRE(g.result().ok());
  const std::vector<bf16> got = h.item.out.download(), want = tight.out.download();
  std::vector<bool> written(got.size());
  for (index_t i = 0; i < 2; ++i)
    for (index_t head = 0; head < 3; ++head)
      for (index_t c = 0; c < 64; ++c) {
        const auto at = static_cast<std::size_t>(1 + (i * 4 + head) * h.out_stride + c);
        written[at] = true;
        CHECK(got[at].bits == want[static_cast<std::size_t>((i * 3 + head) * 64 + c)].bits);
      }
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!written[i]) CHECK(got[i].bits == 0xffff);
}

TEST_CASE("what is refused") {
  const gpu g;
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    holed h;
    spoil(h.item.item, h);
    const rota::status s = rota_test::run_attend(g.backend(), std::vector{h.item.item}, {});
    CAPTURE(argument);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    for (const bf16 x : h.item.out.download()) CHECK(x.bits == 0xffff);
  };
  // Halves are read two at a time, and written one by one.
  refused(errc::bad_alignment, "q", [](auto& item, auto&) { item.q.data += 1; });
  refused(errc::bad_alignment, "q", [](auto& item, auto&) { item.q.stride[0] += 1; });
  refused(errc::bad_alignment, "q", [](auto& item, auto&) { item.q.stride[1] -= 1; });
  refused(errc::null_view, "q", [](auto& item, auto&) { item.q.data = nullptr; });
  refused(errc::bad_stride, "q", [](auto& item, auto&) { item.q.stride[2] = 2; });
  refused(errc::bad_shape, "q", [](auto& item, auto&) { item.q.extent[2] = 62; });
  refused(errc::null_view, "out", [](auto& item, auto&) { item.out.data = nullptr; });
  refused(errc::bad_shape, "out", [](auto& item, auto&) { item.out.extent[0] = 1; });
  refused(errc::bad_stride, "out", [](auto& item, auto&) { item.out.stride[1] = 63; });
  refused(errc::overlapping_memory, "out", [](auto& item, auto& h) {
    item.out.data = h.item.q.data() + h.token_stride + 2 * h.head_stride + 63;  // its last element
  });
  refused(errc::overlapping_memory, "out",
          [](auto& item, auto& h) { item.out.data = h.rows.keys.data(); });
  refused(errc::overlapping_memory, "lse", [](auto& item, auto& h) {
    item.lse = rota::view<float, 2>(reinterpret_cast<float*>(h.item.out.data()), 2, 3);
  });
  std::vector<bf16> host(600);
  refused(errc::wrong_memory, "q", [&](auto& item, auto&) { item.q.data = host.data(); });
  refused(errc::wrong_memory, "out", [&](auto& item, auto&) { item.out.data = host.data(); });
}

TEST_CASE("through an operator") {
  using op = rota::attention<layout>;
  attend_shape s = small_shape();
  const rota_test::packed_case<layout> c(14, s);
  const gpu g;
  rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  random_source rng(15);
  const auto q = numbers<bf16>(rng, static_cast<std::size_t>(s.group * s.d));
  using item_type = device_item<op::store_type, bf16>;
  const item_type direct(q, store.store, 1, s.group), one(q, store.store, 1, s.group);
  const std::span<const attend_item<op::store_type, bf16>> batch(&one.item, 1);
  const rota_test::device_workspace ws(op::attend_workspace_bytes(g.backend(), batch, {}));
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{direct.item}, {}).ok());
  REQUIRE(op::attend(g.backend(), batch, {}, ws.get()).ok());
  REQUIRE(op::attend(g.backend(), one.item, {}, ws.get()).ok());
  REQUIRE(g.result().ok());
  CHECK(one.lse.download() == direct.lse.download());
}

}  // namespace
