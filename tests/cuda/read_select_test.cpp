#include <cmath>
#include <limits>

#include "cuda/captured.hpp"
#include "cuda/read_select_case.hpp"

// Read-select against the CPU's index and choice, and the double reference over what was chosen.

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::device_dense;
using rota_test::device_index;
using rota_test::device_list;
using rota_test::device_paged;
using rota_test::gpu;
using rota_test::plain_shape;
using rota_test::random_dense;
using rota_test::random_paged;
using rota_test::random_source;
using rota_test::read_result;
using rota_test::read_shape;

constexpr index_t block_tokens = rota::dense_store<bf16>::block_tokens;

/// Largest relative error that rounding to 16 bits may cause; nearly none with floats.
template <class E>
constexpr double tolerance = sizeof(E) == 2 ? 4e-3 : 2e-6;

plain_shape dense_shape(index_t length) {
  plain_shape s;
  s.kv_heads = 2;
  s.d_k = s.d_v = 64;
  s.length = length;
  s.spare = 5;
  return s;
}

const auto nothing = [](const rota::page_list&) {};

template <class E>
read_result read_dense(const plain_shape& s, const read_shape& r, std::uint64_t schedule,
                       std::uint64_t seed = 1, bool count_there = false) {
  random_source rng(seed);
  const random_dense<E> host(rng, s);
  const gpu g(schedule);
  const device_dense<E> device(host, count_there);
  return rota_test::read_step(g, device.store, host.store, r,
                              rota_test::step_queries(r, host.store, seed + 50, false), nothing);
}

template <class E>
void check(const read_result& r) {
  CHECK(r.same_index);
  CHECK(r.moved == 0);
  CHECK(r.error < tolerance<E>);
  CHECK(r.bytes >= r.host_bytes);
  // A header, three sections of the index rounded at both ends, and runs of slices.
  CHECK(r.bytes <= r.host_bytes + r.parts * (16 + 3 * 30 + 2 * 112 + 16 * 16));  // codes of rank 8
}

TEST_CASE("read-select over a dense store, under all schedules") {
  rota_test::for_each_schedule(
      [](std::uint64_t seed) { check<bf16>(read_dense<bf16>(dense_shape(150), {}, seed)); });
}

TEST_CASE("read-select over dense stores of other elements, strides and lengths") {
  read_shape r;
  check<f16>(read_dense<f16>(dense_shape(200), r, 1, 2, true));
  check<float>(read_dense<float>(dense_shape(70), r, 2, 3));
  plain_shape s = dense_shape(block_tokens + 1);  // so the last page has one token
  s.token_first = true;
  s.kv_heads = 1;
  check<bf16>(read_dense<bf16>(s, r, 3, 4));
  for (const index_t length : {0, 1, 16, 17, 64}) {
    s.length = length;
    check<bf16>(read_dense<bf16>(s, r, 0, 5, length % 2 == 0));
  }
  s.d_k = s.d_v = 128;
  check<bf16>(read_dense<bf16>(s, r, 1, 6));
}

TEST_CASE("read-select with pages of other lengths, and other numbers of them") {
  read_shape r;
  for (const index_t page_tokens : {1, 10, 24, 50, 64, 1000})
    for (const index_t wanted : {1, 3, 1000}) {
      r.page_tokens = page_tokens;
      r.wanted = wanted;
      check<bf16>(read_dense<bf16>(dense_shape(block_tokens + 12), r, 0, 7));
    }
}

TEST_CASE("read-select for several queries, groups and windows") {
  read_shape r;
  r.wanted = 6;
  for (const index_t group : {1, 5, 16}) {
    r.group = group;
    r.queries = 3;
    check<bf16>(read_dense<bf16>(dense_shape(150), r, 1, 8));
  }
  r.group = 2;
  r.queries = 20;  // rows that four warps share out, and more than are staged at once
  check<bf16>(read_dense<bf16>(dense_shape(150), r, 2, 9));
  r.params.sliding_window = 40;
  check<bf16>(read_dense<bf16>(dense_shape(150), r, 0, 10));
  r.params.causal = false;
  r.params.scale = 0.2f;
  check<bf16>(read_dense<bf16>(dense_shape(150), r, 0, 11));
}

TEST_CASE("read-select over paged stores") {
  for (const index_t store_pages : {8, 16, 80})
    for (const bool count_there : {false, true}) {
      random_source rng(12);
      plain_shape s = dense_shape(170);
      s.page_tokens = store_pages;
      const random_paged<f16> host(rng, s);
      const gpu g(1);
      const device_paged<f16> device(host, count_there);
      const read_shape r;
      check<f16>(rota_test::read_step(g, device.store, host.store, r,
                                      rota_test::step_queries(r, host.store, 60, false), nothing));
    }
}

TEST_CASE("pages that were not chosen are not read") {
  random_source rng(13);
  random_dense<bf16> host(rng, dense_shape(block_tokens + 72));
  const gpu g;
  device_dense<bf16> device(host, false);
  const read_shape r;
  const auto poison = [&](const rota::page_list& chosen) {
    const auto nan = bf16(std::numeric_limits<float>::quiet_NaN());
    for (index_t h = 0; h < 2; ++h)
      for (index_t i = 0; i < host.store.length; ++i) {
        bool read = false;
        for (index_t p = 0; p < chosen.counts(h); ++p) {
          const rota::page_ref page = chosen.pages(h, p);
          const index_t first = page.block * block_tokens + page.first;
          read = read || (i >= first && i < first + page.count);
        }
        for (index_t c = 0; !read && c < 64; ++c)
          host.store.keys(h, i, c) = host.store.values(h, i, c) = nan;
      }
    device.keys.upload(host.keys);
    device.values.upload(host.values);
  };
  const read_result result = rota_test::read_step(
      g, device.store, host.store, r, rota_test::step_queries(r, host.store, 61, false), poison);
  check<bf16>(result);
  for (const float x : result.out) CHECK(std::isfinite(x));
}

TEST_CASE("whole numbers: bounds tie, and the pages are the CPU's one by one") {
  for (const index_t length : {100, 900})
    for (const index_t wanted : {2, 5, 20}) {
      random_source rng(14);
      plain_shape s = dense_shape(length);
      s.kv_heads = 1;
      random_dense<bf16> host(rng, s);
      for (index_t i = 0; i < length; ++i)
        for (index_t c = 0; c < 64; ++c)
          host.store.keys(0, i, c) = bf16(c < 2 ? static_cast<float>(rng.between(-1, 1)) : 0.0f);
      const gpu g(1);
      const device_dense<bf16> device(host, false);
      read_shape r;
      r.wanted = wanted;
      r.page_tokens = 4;
      check<bf16>(rota_test::read_step(g, device.store, host.store, r,
                                       rota_test::step_queries(r, host.store, 62, true), nothing));
    }
}

template <class Layout>
void check_packed(const rota_test::attend_shape& s, const read_shape& r, std::uint64_t schedule,
                  int architecture = 90) {
  const rota_test::packed_case<Layout> c(15, s);
  const gpu g(schedule, architecture);
  rota_test::device_store<Layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  const auto host = store.to_host();
  check<typename Layout::element_type>(rota_test::read_step(
      g, store.store, host.store, r, rota_test::step_queries(r, host.store, 63, false), nothing));
}

template <int W, class E = bf16>
using packed = rota::cuda::packed<E, W>;

rota_test::attend_shape packed_shape() {
  rota_test::attend_shape s;
  s.tokens = 200;
  s.tail = 20;
  return s;
}

TEST_CASE("read-select over a packed store, under all schedules") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    rota_test::attend_shape s = packed_shape();
    s.kv_heads = 1;
    check_packed<packed<8>>(s, {}, seed, seed % 2 == 0 ? 80 : 90);
  });
}

TEST_CASE("read-select over packed stores: widths, elements, fills, orders") {
  read_shape r;
  r.wanted = 6;
  rota_test::attend_shape s = packed_shape();
  check_packed<packed<16, f16>>(s, r, 1);
  check_packed<rota::cuda::packed<bf16, 16, rota::cuda::in_order>>(s, r, 2);
  check_packed<packed<8, float>>(s, r, 0);
  s.means = true;
  check_packed<packed<32>>(s, r, 3);
  s.means = false;
  s.rank = 8;
  check_packed<packed<16>>(s, r, 0);
  s.rank = 0;
  s.keep_groups = 1;  // whole records
  check_packed<packed<16>>(s, r, 1);
  s.keep_groups = 0;  // keys alone
  check_packed<packed<16>>(s, r, 1);
  s.keep_groups = 0.3;
  s.d = 128;
  check_packed<packed<8>>(s, r, 2);
}

TEST_CASE("read-select over packed stores: pages, tails and queries") {
  read_shape r;
  rota_test::attend_shape s = packed_shape();
  s.kv_heads = 1;
  for (const index_t page_tokens : {8, 24, 64, 200}) {
    r.page_tokens = page_tokens;
    check_packed<packed<16>>(s, r, 0);
  }
  r.page_tokens = 16;
  s.tail = 70;  // more than one block of the tail
  r.queries = 20;
  r.wanted = 8;
  check_packed<packed<16>>(s, r, 1);
  s.keep_tokens = 0;  // nothing but a tail
  check_packed<packed<16>>(s, r, 2);
}

TEST_CASE("of rows just the pages are read") {
  const read_result r = read_dense<bf16>(dense_shape(150), {}, 0);
  CHECK(r.bytes == r.host_bytes);
  CHECK(r.bytes == 2 * (3 * 16 + 6) * 2 * 64 * 2);
}

/// Rows appended to a dense store whose length lies in device memory, indexed as they come.
TEST_CASE("an index that grows with its store is the index made anew") {
  random_source rng(16);
  plain_shape s = dense_shape(0);
  s.spare = 150;
  random_dense<bf16> host(rng, s);
  const gpu g(1);
  device_dense<bf16> device(host, true);
  device_index<bf16> index(2, 11, 64);
  index_t length = 0;
  for (const index_t step : {1, 15, 1, 40, 70, 1}) {
    const rota_test::random_layer<bf16> rows(rng, step, 2, 64, 64);
    const rota_test::device_layer<bf16> more(rows);
    REQUIRE(
        rota::cuda::append(g.backend(), device.store, more.context.keys, more.context.values).ok());
    REQUIRE(rota::cuda::index_pages(g.backend(), device.store, 16, index.index).ok());
    REQUIRE(g.result().ok());
    length += step;
    const std::vector<bf16> keys = device.keys.download();
    std::copy(keys.begin(), keys.end(), host.keys.begin());
    host.store.length = length;
    std::fill(index.pages.host_counts.begin(), index.pages.host_counts.end(), 0);
    REQUIRE(rota::cpu::index_pages(rota::cpu::backend{}, host.store, 16, index.host).ok());
    CHECK(index.is(index.host));
  }
}

TEST_CASE("a page with NaN comes last, and the last page is read all the same") {
  random_source rng(17);
  plain_shape s = dense_shape(64);
  s.kv_heads = 1;
  random_dense<float> host(rng, s);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  host.store.keys(0, 20, 3) = nan;  // page 1
  host.store.keys(0, 50, 3) = nan;  // page 3, the last
  const gpu g;
  const device_dense<float> device(host, false);
  device_index<float> index(1, 4, 64);
  REQUIRE(rota::cuda::index_pages(g.backend(), device.store, 16, index.index).ok());
  REQUIRE(rota::cpu::index_pages(rota::cpu::backend{}, host.store, 16, index.host).ok());
  CHECK(index.is(index.host));
  device_list out(1, 4);
  const rota_test::device_array<float> q(std::vector<float>(64, 0.5f));
  const rota::view<const float, 3> queries(q.data(), 1, 1, 64);
  REQUIRE(rota_test::run_choice(g.backend(), index.index, queries, 3, out.list).ok());
  REQUIRE(g.result().ok());
  out.download();
  REQUIRE(out.host.counts(0) == 3);
  CHECK(out.host.pages(0, 0).first == 0);
  CHECK(out.host.pages(0, 1).first == 32);
  CHECK(out.host.pages(0, 2).first == 48);
}

TEST_CASE("pages of several sequences in one batch") {
  using store_type = rota::dense_store<bf16>;
  using view_type = rota::cuda::page_view<store_type>;
  random_source rng(18);
  const gpu g(1);
  struct sequence {
    random_dense<bf16> host;
    device_dense<bf16> device;
    device_index<bf16> index;
    device_list chosen;
    view_type view;
    std::vector<float> q;
    rota_test::device_item<view_type> item;

    sequence(random_source& from, index_t length, index_t queries)
        : host(from, dense_shape(length)),
          device(host, false),
          index(2, 20, 64),
          chosen(2, 3),
          view{&device.store, chosen.list, 16},
          q(rota_test::step_queries(read_shape{16, 3, queries, 2, {}}, host.store, 70, false)),
          item(q, view, queries, 4) {}
  };
  std::vector<std::unique_ptr<sequence>> all;
  std::vector<rota::attend_item<view_type>> batch;
  for (const index_t length : {0, 300, 40}) {
    all.push_back(std::make_unique<sequence>(rng, length, 1 + length % 3));
    sequence& s = *all.back();
    REQUIRE(rota::cuda::index_pages(g.backend(), s.device.store, 16, s.index.index).ok());
    REQUIRE(
        rota_test::run_choice(g.backend(), s.index.index, s.item.item.q, 3, s.chosen.list).ok());
    batch.push_back(s.item.item);
  }
  REQUIRE(rota_test::run_attend(g.backend(), batch, {}).ok());
  REQUIRE(g.result().ok());
  for (const auto& s : all) {
    s->chosen.download();
    rota::page_view<store_type> part;
    part.store = &s->host.store;
    part.list = s->chosen.host;
    CHECK(s->item.error(part, {}) < tolerance<bf16>);
  }
}

/// A dense sequence that grows, and is read in part at every step.
struct reading_sequence {
  using view_type = rota::cuda::page_view<rota::dense_store<bf16>>;
  random_dense<bf16> host;
  device_dense<bf16> device;
  device_index<bf16> index{2, 12, 64};
  device_list chosen{2, 3};
  view_type view{&device.store, chosen.list, 16};
  rota_test::device_array<bf16> keys{2 * 64}, values{2 * 64};
  rota_test::device_item<view_type> item{std::vector<float>(4 * 64), view, 1, 4};
  rota_test::device_workspace choice, attention;

  reading_sequence(const gpu& g, random_source&& rng)
      : host(rng, shape()),
        device(host, true),
        choice(rota::cuda::select_pages_workspace_bytes(g.backend(), index.index, item.item.q)),
        attention(rota::cuda::attend_workspace_bytes(
            g.backend(), std::span<const rota::attend_item<view_type>>(&item.item, 1), {})) {
    device.length.upload({60});  // of 180 rows that have been there before
  }

  static plain_shape shape() {
    plain_shape s = dense_shape(180);
    s.spare = 0;
    return s;
  }
  void set(std::uint64_t seed) {
    random_source rng(seed);
    const rota_test::random_layer<bf16> rows(rng, 1, 2, 64, 64);
    keys.upload(rows.keys);
    values.upload(rows.values);
    item.q.upload(rota_test::step_queries(read_shape{}, host.store, seed, false));
  }
  void step(const rota::cuda::backend& b) {
    const rota::view<const bf16, 3> k(keys.data(), 1, 2, 64), v(values.data(), 1, 2, 64);
    REQUIRE(rota::cuda::append(b, device.store, k, v).ok());
    REQUIRE(rota::cuda::index_pages(b, device.store, 16, index.index).ok());
    REQUIRE(
        rota::cuda::select_pages(b, index.index, item.item.q, {3}, chosen.list, choice.get()).ok());
    const std::span<const rota::attend_item<view_type>> batch(&item.item, 1);
    REQUIRE(rota::cuda::attend(b, batch, {}, attention.get()).ok());
  }
};

TEST_CASE("a graph of append, index, choice and attention" * doctest::skip(rota_test::emulated)) {
  const gpu g;
  reading_sequence by_graph(g, random_source(21)), by_calls(g, random_source(21));
  for (reading_sequence* s : {&by_graph, &by_calls}) {  // so that the kernels are loaded
    s->set(1);
    s->step(g.backend());
  }
  const rota_test::captured graph(g, [&](const rota::cuda::backend& b) { by_graph.step(b); });
  for (std::uint64_t step = 0; step < 20; ++step) {
    if (step == 10)  // much longer between two replays
      for (reading_sequence* s : {&by_graph, &by_calls}) s->device.length.upload({150});
    for (reading_sequence* s : {&by_graph, &by_calls}) s->set(10 + step);
    graph.replay();
    by_calls.step(g.backend());
    REQUIRE(g.result().ok());
    CHECK(by_graph.item.out.download() == by_calls.item.out.download());
    CHECK(by_graph.chosen.counts.download() == std::vector<std::int32_t>{3, 3});
    by_calls.chosen.download();
    by_graph.chosen.download();
    for (index_t h = 0; h < 2; ++h)
      CHECK(rota_test::differing(by_graph.chosen.host, by_calls.chosen.host, h) == 0);
  }
}

}  // namespace
