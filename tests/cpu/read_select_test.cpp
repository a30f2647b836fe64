#include <cmath>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include <rota/attend/read_select_reference.hpp>
#include <rota/cpu/append.hpp>
#include <rota/cpu/read_select.hpp>
#include <rota/cpu/thread_pool.hpp>

#include "support/attend_case.hpp"
#include "support/packed_sample.hpp"
#include "support/plain_stores.hpp"

// Read-select against its double form, over every kind of store.

namespace {

using namespace rota;
using namespace rota_test;

/// An index with memory of its own, empty.
template <element E>
struct owned_index {
  std::vector<page_ref> pages;
  std::vector<std::int32_t> counts;
  std::vector<E> low, high;
  page_index<E> index;

  owned_index(index_t heads, index_t capacity, index_t d_k)
      : pages(static_cast<std::size_t>(heads * capacity)),
        counts(static_cast<std::size_t>(heads)),
        low(static_cast<std::size_t>(heads * capacity * d_k)),
        high(low.size()) {
    index.list = {view<page_ref, 2>(pages.data(), heads, capacity),
                  view<std::int32_t, 1>(counts.data(), heads)};
    index.low = view<E, 3>(low.data(), heads, capacity, d_k);
    index.high = view<E, 3>(high.data(), heads, capacity, d_k);
  }
};

/// What select_pages() writes.
struct owned_list {
  std::vector<page_ref> pages;
  std::vector<std::int32_t> counts;
  page_list list;

  owned_list(index_t heads, index_t capacity)
      : pages(static_cast<std::size_t>(heads * capacity)),
        counts(static_cast<std::size_t>(heads), -7) {
    list = {view<page_ref, 2>(pages.data(), heads, capacity),
            view<std::int32_t, 1>(counts.data(), heads)};
  }
};

template <class Store>
index_t most_pages(const Store& store, index_t page_tokens) {
  index_t most = 0;
  for (index_t h = 0; h < store.kv_heads(); ++h)
    most = std::max(most, page_count(store, h, page_tokens));
  return most;
}

bool same(const page_ref& a, const page_ref& b) {
  return a.block == b.block && a.first == b.first && a.count == b.count;
}

template <element E>
status choose(const cpu::backend& b, const page_index<E>& index, const view<const float, 3>& q,
              index_t pages, const page_list& out) {
  const aligned_memory ws(cpu::select_pages_workspace_bytes(b, index, q));
  return cpu::select_pages(b, index, q, {pages}, out, ws.workspace());
}

/// The chosen pages are the best by the double form, but for ties within rounding.
template <class Store>
void check_choice(const Store& store, index_t h, index_t wanted, index_t page_tokens,
                  const view<const float, 3>& q, const page_list& got) {
  const std::vector<page_ref> all = reference::pages_of(store, h, page_tokens);
  const auto expected = std::min<index_t>(wanted, static_cast<index_t>(all.size()));
  REQUIRE(got.counts(h) == expected);
  if (expected == 0) return;
  CHECK(same(got.pages(h, expected - 1), all.back()));
  double least_taken = 1e300, most_left = -1e300, size = 1;
  for (std::size_t p = 0; p + 1 < all.size(); ++p) {
    const double bound = reference::page_bound(store, h, all[p], q);
    bool taken = false;
    for (index_t i = 0; i < expected; ++i) taken = taken || same(got.pages(h, i), all[p]);
    (taken ? least_taken : most_left) =
        taken ? std::min(least_taken, bound) : std::max(most_left, bound);
    size = std::max(size, std::fabs(bound));
  }
  if (expected > 1 && static_cast<index_t>(all.size()) > expected)
    CHECK(least_taken >= most_left - 1e-5 * size);
}

/// Index, choice and attention over the choice, for a store and random queries.
template <class Store>
void check_store(random_source& rng, const Store& store) {
  using E = typename Store::element_type;
  const index_t page_tokens = rng.pick<index_t>({1, 4, 16, 50, 1000});
  const index_t capacity = most_pages(store, page_tokens) + rng.between(0, 2);
  owned_index<E> owned(store.kv_heads(), capacity, store.d_k());
  cpu::thread_pool pool(3);
  REQUIRE(cpu::index_pages(pool.get_backend(), store, page_tokens, owned.index).ok());
  for (index_t h = 0; h < store.kv_heads(); ++h) {
    const auto all = reference::pages_of(store, h, page_tokens);
    REQUIRE(owned.counts[static_cast<std::size_t>(h)] == static_cast<std::int32_t>(all.size()));
    for (std::size_t p = 0; p < all.size(); ++p)
      CHECK(same(owned.index.list.pages(h, static_cast<index_t>(p)), all[p]));
  }
  const index_t wanted = rng.pick<index_t>({1, 2, 5, 1000}), n = rng.pick<index_t>({1, 1, 3});
  owned_list chosen(store.kv_heads(), std::min(wanted, capacity));
  page_view<Store> part{&store, chosen.list};
  attend_case<page_view<Store>> c(rng, part, n, rng.pick<index_t>({1, 2, 5}));
  REQUIRE(choose(pool.get_backend(), owned.index, c.item.q, wanted, chosen.list).ok());
  for (index_t h = 0; h < store.kv_heads(); ++h)
    check_choice(store, h, wanted, page_tokens, c.item.q, chosen.list);
  const status done = run_attend<page_view<Store>>(cpu::backend{}, {c.item}, {});
  REQUIRE_MESSAGE(done.ok(), done.what(), " ", done.argument);
  CHECK(error_against_reference(c.item, {}, store.d_v() < 16 ? 1 : 0) <= attend_tolerance<E>);

  owned_list again(store.kv_heads(), capacity);
  REQUIRE(choose(cpu::backend{}, owned.index, c.item.q, wanted, again.list).ok());
  for (index_t h = 0; h < store.kv_heads(); ++h)
    for (index_t i = 0; i < again.list.counts(h); ++i)
      CHECK(same(again.list.pages(h, i), chosen.list.pages(h, i)));
}

template <class Layout>
void check_packed(random_source& rng) {
  sample_options o;
  o.tokens = rng.pick<index_t>({0, 1, 40, 300});
  o.means = rng.chance(0.5);
  const packed_sample<Layout> sample(rng, o);
  check_store(rng, sample.store);
}

}  // namespace

TEST_CASE("read-select chooses what the double form does, and attends over it") {
  random_source rng(31);
  for (int i = 0; i < 25; ++i) {
    plain_shape s;
    s.kv_heads = rng.between(1, 3);
    s.d_k = rng.pick<index_t>({1, 7, 64, 80});
    s.d_v = rng.pick<index_t>({5, 64});
    s.length = rng.pick<index_t>({0, 1, 16, 17, 127, 129, 255, 257, 400});
    s.page_tokens = rng.pick<index_t>({1, 16, 100});
    s.token_first = rng.chance(0.5);
    s.spare = 3;
    CAPTURE(i);
    check_store(rng, random_dense<float>(rng, s).store);
    check_store(rng, random_dense<bf16>(rng, s).store);
    check_store(rng, random_paged<f16>(rng, s).store);
    check_packed<packed<bf16, 8, value_order::group_major, 64>>(rng);
    check_packed<packed<float, 16, value_order::group_major, 32>>(rng);
    check_packed<packed<bf16, 16, value_order::token_major, 128>>(rng);
  }
}

TEST_CASE("an index that grows with its store is the index made anew") {
  random_source rng(5);
  plain_shape s;
  s.kv_heads = 2;
  s.d_k = 24;
  s.d_v = 8;
  s.spare = 200;
  random_dense<bf16> dense(rng, s);
  owned_index<bf16> grown(2, 20, 24);
  for (const index_t step : {1, 15, 1, 7, 60, 100}) {
    std::vector<float> k(static_cast<std::size_t>(step * 2 * 24));
    std::vector<float> v(static_cast<std::size_t>(step * 2 * 8));
    for (float& x : k) x = rng.normal();
    for (float& x : v) x = rng.normal();
    REQUIRE(cpu::append(cpu::backend{}, dense.store, view<const float, 3>(k.data(), step, 2, 24),
                        view<const float, 3>(v.data(), step, 2, 8))
                .ok());
    REQUIRE(cpu::index_pages(cpu::backend{}, dense.store, 16, grown.index).ok());
    owned_index<bf16> fresh(2, 20, 24);
    REQUIRE(cpu::index_pages(cpu::backend{}, dense.store, 16, fresh.index).ok());
    CHECK(grown.counts == fresh.counts);
    for (index_t h = 0; h < 2; ++h)
      for (index_t p = 0; p < grown.counts[0]; ++p) {
        CHECK(same(grown.index.list.pages(h, p), fresh.index.list.pages(h, p)));
        for (index_t c = 0; c < 24; ++c) {
          CHECK(float(grown.index.low(h, p, c)) == float(fresh.index.low(h, p, c)));
          CHECK(float(grown.index.high(h, p, c)) == float(fresh.index.high(h, p, c)));
        }
      }
  }
}

TEST_CASE("all pages read is the whole store, and bytes read add up") {
  random_source rng(9);
  plain_shape s;
  s.kv_heads = 2;
  s.d_k = s.d_v = 32;
  s.length = 200;
  const random_dense<bf16> dense(rng, s);
  owned_index<bf16> owned(2, 13, 32);
  REQUIRE(cpu::index_pages(cpu::backend{}, dense.store, 16, owned.index).ok());
  using part_type = page_view<dense_store<bf16>>;
  part_type part{&dense.store, owned.index.list};
  CHECK(part.read_bytes() == dense.store.bytes());
  CHECK(part.bytes() == dense.store.bytes());
  attend_case<part_type> c(rng, part, 1, 4);
  attend_case<dense_store<bf16>> whole(rng, dense.store, 1, 4);
  whole.item.q = c.item.q;
  REQUIRE(run_attend<part_type>(cpu::backend{}, {c.item}, {}).ok());
  REQUIRE(run_attend<dense_store<bf16>>(cpu::backend{}, {whole.item}, {}).ok());
  for (std::size_t i = 0; i < c.out.size(); ++i)
    CHECK(c.out[i] == doctest::Approx(whole.out[i]).epsilon(1e-4));
  owned_list four(2, 4);
  REQUIRE(choose(cpu::backend{}, owned.index, c.item.q, 4, four.list).ok());
  part.list = four.list;
  CHECK(part.read_bytes() == 2 * (3 * 16 + 8) * 64 * 2);
}

TEST_CASE("pages of a store with codes, all of them, are the whole store") {
  using layout = packed<bf16, 16, value_order::token_major, 64>;
  random_source rng(12);
  sample_options o;
  o.means = false;
  o.rank = 8;
  const packed_sample<layout> sample(rng, o);
  const index_t capacity = most_pages(sample.store, 10);
  owned_index<bf16> owned(2, capacity, 16);
  REQUIRE(cpu::index_pages(cpu::backend{}, sample.store, 10, owned.index).ok());
  using part_type = page_view<layout::store_type>;
  const part_type part{&sample.store, owned.index.list};
  const std::vector<float> in_pages = attend_once(part), whole = attend_once(sample.store);
  for (std::size_t i = 0; i < whole.size(); ++i)
    CHECK(in_pages[i] == doctest::Approx(whole[i]).epsilon(1e-4));
  index_t codes = 0;
  for (index_t h = 0; h < 2; ++h)
    for (index_t i = 0; i < part.block_count(h); ++i) {
      const auto b = part.block_at(h, i);
      if (b.codes != nullptr) codes += b.count * 8 * 2;
      if (b.codes != nullptr)
        CHECK(read_bytes(b, 16, 64, 16, 8) == read_bytes(b, 16, 64, 16) + b.count * 8 * 2);
    }
  CHECK(codes > 0);
}

TEST_CASE("a page with NaN comes last, and the last page is read all the same") {
  random_source rng(3);
  plain_shape s;
  s.d_k = s.d_v = 16;
  s.length = 64;
  random_dense<float> dense(rng, s);
  dense.store.keys(0, 20, 3) = __builtin_nanf("");  // page 1
  dense.store.keys(0, 50, 3) = __builtin_nanf("");  // page 3, the last
  owned_index<float> owned(1, 4, 16);
  REQUIRE(cpu::index_pages(cpu::backend{}, dense.store, 16, owned.index).ok());
  std::vector<float> q(16, 0.5f);
  owned_list out(1, 3);
  REQUIRE(choose(cpu::backend{}, owned.index, view<const float, 3>(q.data(), 1, 1, 16), 3, out.list)
              .ok());
  CHECK(out.list.pages(0, 0).first == 0);
  CHECK(out.list.pages(0, 1).first == 32);
  CHECK(out.list.pages(0, 2).first == 48);
}

TEST_CASE("read-select refuses what cannot be, and writes nothing") {
  random_source rng(4);
  plain_shape s;
  s.kv_heads = 2;
  s.d_k = s.d_v = 16;
  s.length = 70;
  random_dense<bf16> dense(rng, s);
  const cpu::backend one;
  const auto refused = [](const status& got, errc code, const char* argument) {
    CHECK(got.code == code);
    CHECK(std::string(got.argument) == argument);
  };
  owned_index<bf16> small(2, 4, 16);
  refused(cpu::index_pages(one, dense.store, 16, small.index), errc::store_too_small, "index");
  CHECK(small.counts[0] == 0);
  owned_index<bf16> owned(2, 5, 16);
  refused(cpu::index_pages(one, dense.store, 0, owned.index), errc::bad_parameter, "page_tokens");
  page_index<bf16> bad = owned.index;
  bad.low.extent[2] = 8;
  refused(cpu::index_pages(one, dense.store, 16, bad), errc::bad_shape, "index.low");
  bad = owned.index;
  bad.high.data = nullptr;
  refused(cpu::index_pages(one, dense.store, 16, bad), errc::null_view, "index.high");
  REQUIRE(cpu::index_pages(one, dense.store, 16, owned.index).ok());

  std::vector<float> q(2 * 2 * 16, 1.0f);
  const view<const float, 3> queries(q.data(), 1, 4, 16);
  owned_list out(2, 5);
  refused(choose(one, owned.index, queries, 0, out.list), errc::bad_parameter, "pages");
  refused(choose(one, owned.index, view<const float, 3>(q.data(), 1, 3, 16), 2, out.list),
          errc::heads_not_divisible, "q");
  refused(choose(one, owned.index, view<const float, 3>(q.data(), 1, 4, 8), 2, out.list),
          errc::bad_shape, "q");
  owned_list narrow(2, 2);
  refused(choose(one, owned.index, queries, 3, narrow.list), errc::bad_shape, "out.pages");
  refused(cpu::select_pages(one, owned.index, queries, {2}, out.list, {}),
          errc::workspace_too_small, "ws");
  CHECK(out.counts[0] == -7);
  owned.counts[1] = 6;
  refused(choose(one, owned.index, queries, 2, out.list), errc::bad_count, "index.counts");
  owned.counts[1] = 5;

  REQUIRE(choose(one, owned.index, queries, 3, out.list).ok());
  using part_type = page_view<dense_store<bf16>>;
  part_type part{&dense.store, out.list};
  CHECK(part.check().ok());
  const page_ref kept = out.list.pages(1, 0);
  for (const page_ref wrong : {page_ref{9, 0, 1}, page_ref{-1, 0, 1}, page_ref{0, 60, 20},
                               page_ref{0, -1, 4}, page_ref{0, 65, 1}}) {
    out.list.pages(1, 0) = wrong;
    refused(part.check(), errc::bad_store, "store.pages");
  }
  out.list.pages(1, 0) = kept;
  part.store = nullptr;
  refused(part.check(), errc::null_view, "store");
}
