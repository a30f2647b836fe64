#include <cmath>
#include <memory>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/cpu/thread_pool.hpp>
#include <rota/rota.hpp>

#include "support/attend_case.hpp"
#include "support/packed_sample.hpp"

// Stores of bytes and scales: what quantization promises, and attention over them.

namespace {

using namespace rota;
using namespace rota_test;

/// What the codec promises of one slice, in double.
template <element From>
void check_quantized(const std::vector<From>& from) {
  std::vector<int8> bytes(from.size());
  const scale_type scale =
      cpu::quantize_row(from.data(), bytes.data(), static_cast<index_t>(from.size()));
  const auto step = static_cast<double>(static_cast<float>(scale));
  double most = 0;
  for (const From x : from) most = std::max(most, std::fabs(double{static_cast<float>(x)}));
  CHECK(127 * step >= most * (1 - 1e-6));
  if (most > 1e-30) CHECK(127 * step <= most * 129 / 128);
  for (std::size_t i = 0; i < from.size(); ++i) {
    CHECK(bytes[i].bits >= -127);
    const double off = std::fabs(bytes[i].bits * step - double{static_cast<float>(from[i])});
    CHECK(off <= 0.5 * step * (1 + 1e-5));
  }
}

template <element From>
std::vector<From> random_slice(random_source& rng, index_t n, float size) {
  std::vector<From> x(static_cast<std::size_t>(n));
  for (From& v : x) v = From(size * rng.normal());
  return x;
}

/// A dense store of a codec, filled by append; what lies behind its length is garbage.
template <codec C>
struct appended_dense {
  std::vector<key_type_of<C>> keys;
  std::vector<value_type_of<C>> values;
  std::vector<scale_type> key_scales, value_scales;
  dense_store<C> store;

  appended_dense(random_source& rng, index_t heads, index_t n, index_t d_k, index_t d_v) {
    const index_t capacity = n + 3;
    const auto size = [&](index_t d) { return static_cast<std::size_t>(heads * capacity * d); };
    keys.resize(size(d_k));
    values.resize(size(d_v));
    key_scales.assign(size(1), scale_type(NAN));
    value_scales.assign(size(1), scale_type(NAN));
    store.keys = view<key_type_of<C>, 3>(keys.data(), heads, capacity, d_k);
    store.values = view<value_type_of<C>, 3>(values.data(), heads, capacity, d_v);
    store.key_scales = view<scale_type, 2>(key_scales.data(), heads, capacity);
    store.value_scales = view<scale_type, 2>(value_scales.data(), heads, capacity);
    const random_layer<f32> rows(rng, n, heads, d_k, d_v);
    REQUIRE(cpu::append(cpu::backend{}, store, rows.context.keys, rows.context.values).ok());
  }
};

template <codec C>
void check_dense(std::uint64_t seed, int rounds) {
  random_source rng(seed);
  for (int i = 0; i < rounds; ++i) {
    const index_t n = rng.pick<index_t>({0, 1, 17, 128, 129, 300, 700});
    const index_t d_k = rng.pick<index_t>({64, 128, 7, 33, 80}),
                  d_v = rng.pick<index_t>({64, 5, 96});
    const appended_dense<C> dense(rng, rng.between(1, 3), n, d_k, d_v);
    attend_case<dense_store<C>> c(rng, dense.store, rng.pick<index_t>({1, 2, 16, 40}),
                                  rng.pick<index_t>({1, 2, 3, 4, 8}));
    attend_params p;
    p.causal = rng.chance(0.8);
    if (rng.chance(0.3)) p.sliding_window = rng.between(1, 300);
    CAPTURE(i);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, p).ok());
    CHECK(error_against_reference(c.item, p, d_v < 16 ? 1 : 0) <= 2e-5);
  }
}

template <class Layout>
void check_packed(std::uint64_t seed, int rounds) {
  using store_type = typename Layout::store_type;
  random_source rng(seed);
  for (int i = 0; i < rounds; ++i) {
    sample_options o;
    o.tokens = rng.pick<index_t>({0, 1, 64, 257, 600});
    o.keep_groups = rng.pick<double>({0, 0.3, 0.6, 1});
    o.means = rng.chance(0.5);
    if (!o.means) o.rank = rng.pick<index_t>({0, 4, 17});
    const packed_sample<Layout> sample(rng, o);
    CHECK(verify(sample.store).ok());
    attend_case<store_type> c(rng, sample.store, rng.pick<index_t>({1, 3, 16}),
                              rng.pick<index_t>({1, 2, 4, 8}));
    attend_params p;
    if (rng.chance(0.3)) p.sliding_window = rng.between(1, 300);
    CAPTURE(i);
    REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, p).ok());
    CHECK(error_against_reference(c.item, p) <= 2e-5);
  }
}

using op = attention<tokens<key_norm, keep_ratio>, groups<value_norm, keep_ratio>, packed<int8, 16>,
                     mean_fill>;

}  // namespace

TEST_CASE("quantization is to the nearest step of the smallest scale") {
  random_source rng(1);
  for (const index_t n : {1, 7, 16, 24, 64, 128, 200})
    for (const float size : {1.0f, 1e-20f, 3e30f, 1e-39f}) {
      check_quantized(random_slice<f32>(rng, n, size));
      check_quantized(random_slice<bf16>(rng, n, size));
    }
  check_quantized(random_slice<f16>(rng, 64, 3.0f));
  check_quantized(std::vector<f32>(16, 0.0f));
  check_quantized(std::vector<f32>{127, -127, 126.5f, 0.5f, -0.49f});
}

TEST_CASE("a slice with a number that is not finite becomes NaN, whatever else it holds") {
  for (const float odd : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> x(20, 1.0f);
    x[18] = odd;
    std::vector<int8> bytes(20, int8{5});
    const auto scale = static_cast<float>(cpu::quantize_row(x.data(), bytes.data(), 20));
    CHECK(std::isnan(scale));
  }
}

TEST_CASE("attention over dense stores of bytes equals the oracle over the same bytes") {
  check_dense<int8>(2, 60);
  check_dense<kv_codec<int8, f16>>(3, 30);
  check_dense<kv_codec<bf16, int8>>(4, 30);
}

TEST_CASE("attention over packed stores of bytes equals the oracle over the same bytes") {
  check_packed<packed<int8, 16>>(5, 60);
  check_packed<packed<int8, 32, value_order::token_major, 64>>(6, 30);
  check_packed<packed<kv_codec<int8, bf16>, 16>>(7, 30);
  check_packed<packed<kv_codec<bf16, int8>, 16>>(8, 30);
  check_packed<packed<kv_codec<f32, f16>, 8>>(9, 30);
}

TEST_CASE("a store of bytes attends as a store of floats does, to what its steps round off") {
  const auto attend_as = []<class Layout>() {
    random_source rng(10);
    return attend_once(packed_sample<Layout>(rng, {.tokens = 400}).store);
  };
  const std::vector<float> exact = attend_as.template operator()<packed<f32, 16>>();
  const std::vector<float> bytes = attend_as.template operator()<packed<int8, 16>>();
  double off = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    off = std::max(off, std::fabs(double{exact[i]} - double{bytes[i]}));
    size = std::max(size, std::fabs(double{exact[i]}));
  }
  CHECK(off > 0);
  CHECK(off < 0.03 * size);
}

TEST_CASE("results over bytes are the same bits for any number of threads") {
  random_source rng(11);
  const appended_dense<int8> dense(rng, 2, 9000, 64, 64);
  attend_case<dense_store<int8>> one(rng, dense.store, 2, 4);
  REQUIRE(run_attend(cpu::backend{}, std::vector{one.item}, {}).ok());
  const std::vector<float> want = one.out;
  for (const int threads : {2, 3, 7}) {
    cpu::thread_pool pool(threads);
    std::fill(one.out.begin(), one.out.end(), 0.0f);
    REQUIRE(run_attend(pool.get_backend(), std::vector{one.item}, {}).ok());
    CHECK(one.out == want);
  }
}

TEST_CASE("a store of bytes is what its arithmetic says, and unpacks to bytes times scales") {
  random_source rng(12);
  const packed_sample<packed<int8, 16>> sample(rng, {.tokens = 300, .means = false});
  const packed_sample<packed<bf16, 16>> wide(rng, {.tokens = 300, .means = false});
  CHECK(sample.store.bytes() < 0.75 * static_cast<double>(wide.store.bytes()));
  const index_t n = cpu::token_count(sample.store, 1);
  std::vector<float> keys(static_cast<std::size_t>(n * 16)),
      values(static_cast<std::size_t>(n * 64));
  std::vector<position_t> positions(static_cast<std::size_t>(n));
  std::vector<group_mask> available(positions.size());
  cpu::unpack_head(
      cpu::backend{}, sample.store, 1,
      cpu::unpacked_head<int8>{keys.data(), values.data(), positions.data(), available.data()});
  index_t at = 0;
  for (index_t i = 0; i < sample.store.block_count(1); ++i) {
    const block<int8> b = sample.store.block_at(1, i);
    for (index_t j = 0; j < b.count; ++j, ++at) {
      const auto scale = static_cast<float>(b.key_scales[j]);
      for (index_t c = 0; c < 16; ++c)
        CHECK(keys[static_cast<std::size_t>(at * 16 + c)] ==
              b.keys[j * b.key_stride + c].bits * scale);
      group_mask mask = 0;
      std::vector<double> row(64);
      reference::expand_token(b, j, 64, 16, reference::stand_ins_of(sample.store, 1), row.data(),
                              &mask);
      CHECK(available[static_cast<std::size_t>(at)] == mask);
      for (std::size_t c = 0; c < 64; ++c)
        CHECK(double{values[static_cast<std::size_t>(at) * 64 + c]} == doctest::Approx(row[c]));
    }
  }
  CHECK(at == n);
}

TEST_CASE("the operator compresses to bytes, appends to them and routes them again") {
  random_source rng(13);
  const random_layer<bf16> layer(rng, 400, 2, 64, 64), more(rng, 20, 2, 64, 64);
  const cpu::backend one;
  op::params p;
  p.protect = {2, 8};
  p.tokens.budget.ratio = 0.5;
  p.groups.budget.ratio = 0.5;
  const aligned_memory memory(static_cast<std::size_t>(op::max_store_bytes(layer.context, p)));
  const aligned_memory ws(op::compress_workspace_bytes(one, layer.context, p));
  op::store_type store{memory.data(), static_cast<index_t>(memory.size())};
  REQUIRE(op::compress(one, layer.context, p, store, ws.workspace()).ok());
  REQUIRE(op::append(one, store, more.context.keys, more.context.values).ok());
  CHECK(verify(store).ok());

  const aligned_memory scratch(op::reroute_workspace_bytes(one, store, layer.context, p));
  const aligned_memory room(memory.size());
  op::store_type again{room.data(), static_cast<index_t>(room.size())};
  const status s = op::reroute(one, store, layer.context, p, again, scratch.workspace());
  REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
  CHECK(verify(again).ok());
  CHECK(again.next_position() == 420);
  CHECK(cpu::token_count(again, 0) < cpu::token_count(store, 0));
  attend_case<op::store_type> c(rng, again, 1, 4);
  REQUIRE(run_attend(one, std::vector{c.item}, {}).ok());
  CHECK(error_against_reference(c.item, {}) <= 2e-5);
}

TEST_CASE("pages of a store of bytes are indexed, chosen and attended over") {
  random_source rng(14);
  const appended_dense<int8> dense(rng, 2, 300, 64, 64);
  std::vector<page_ref> refs(2 * 20);
  std::vector<std::int32_t> counts(2, 0);
  std::vector<bf16> low(2 * 20 * 64), high(low.size());
  page_index<bf16> index;
  index.list = {view<page_ref, 2>(refs.data(), 2, 20), view<std::int32_t, 1>(counts.data(), 2)};
  index.low = view<bf16, 3>(low.data(), 2, 20, 64);
  index.high = view<bf16, 3>(high.data(), 2, 20, 64);
  REQUIRE(cpu::index_pages(cpu::backend{}, dense.store, 16, index).ok());
  for (index_t h = 0; h < 2; ++h)
    for (index_t i = 0; i < 300; ++i)
      for (index_t c = 0; c < 64; ++c) {
        const double key = dense.store.keys(h, i, c).bits *
                           double{static_cast<float>(dense.store.key_scales(h, i))};
        // Page 16 begins where the store's first block of 256 tokens ends.
        const index_t page = i / 16;
        CHECK(double{static_cast<float>(index.low(h, page, c))} <= key + 0.01 * std::fabs(key));
        CHECK(double{static_cast<float>(index.high(h, page, c))} >= key - 0.01 * std::fabs(key));
      }
  const page_view<dense_store<int8>> pages{&dense.store, index.list};
  attend_case<page_view<dense_store<int8>>> c(rng, pages, 1, 4);
  REQUIRE(run_attend(cpu::backend{}, std::vector{c.item}, {}).ok());
  CHECK(error_against_reference(c.item, {}) <= 2e-5);
}

TEST_CASE("a dense store of bytes without room for its scales is refused") {
  random_source rng(15);
  appended_dense<int8> dense(rng, 2, 10, 16, 16);
  CHECK(dense.store.check().ok());
  dense_store<int8> without = dense.store;
  without.key_scales = {};
  CHECK(without.check() == errc::bad_shape);
  without = dense.store;
  without.value_scales.extent[1] -= 1;
  CHECK(without.check() == errc::bad_shape);
  attend_case<dense_store<int8>> c(rng, without, 1, 2);
  CHECK(run_attend(cpu::backend{}, std::vector{c.item}, {}) == errc::bad_shape);
  CHECK(c.is_untouched());
}

TEST_CASE("quotients by a scale are those of a division, bit for bit") {
  using namespace rota::cpu;
  constexpr int lanes = simd::lanes;
  random_source rng(77);
  for (int fraction = 0; fraction < 128; ++fraction)
    for (const int exponent : {-120, -95, -89, -60, -7, 0, 30, 89, 95}) {
      const float step = std::ldexp(1.0f + static_cast<float>(fraction) / 128, exponent);
      const pack_detail::divider by_step(step);
      for (int round = 0; round < 8; ++round) {
        float x[lanes], got[lanes];
        for (float& v : x) {
          // Around the middle between two multiples, and anywhere.
          const float multiple = static_cast<float>(rng.between(-127, 126)) + 0.5f;
          v = rng.chance(0.7) ? multiple * step : 127 * step * (2 * float(rng.uniform()) - 1);
          for (index_t i = rng.below(3); i > 0; --i) v = std::nextafter(v, 0.0f);
        }
        simd::store<lanes>(got, by_step(simd::load<lanes>(x)));
        for (int l = 0; l < lanes; ++l) REQUIRE(got[l] == x[l] / step);
      }
    }
}
