#pragma once

#include <vector>

#include <rota/cpu/read_select.hpp>
#include <rota/cuda/read_select.cuh>

#include "cuda/attend_case.hpp"
#include "support/plain_stores.hpp"

namespace rota_test {

/// A list of pages on the host, and one in device memory. A head's pages are `spare` further apart
/// than they are many.
struct device_list {
  index_t heads, capacity, stride;
  std::vector<rota::page_ref> host_pages;
  std::vector<std::int32_t> host_counts;
  device_array<rota::page_ref> pages;
  device_array<std::int32_t> counts;
  rota::page_list list, host;

  device_list(index_t n, index_t most, index_t spare = 3)
      : heads(n),
        capacity(most),
        stride(most + spare),
        host_pages(static_cast<std::size_t>(n * stride)),
        host_counts(static_cast<std::size_t>(n)),
        pages(host_pages),
        counts(host_counts),
        list(over(pages.data(), counts.data())),
        host(over(host_pages.data(), host_counts.data())) {}
  device_list(const device_list&) = delete;
  device_list& operator=(const device_list&) = delete;

  /// Copies what the device has to the host's list.
  void download() {
    host_pages = pages.download();
    host_counts = counts.download();
    host = over(host_pages.data(), host_counts.data());
  }
  void upload() {
    pages.upload(host_pages);
    counts.upload(host_counts);
  }

 private:
  rota::page_list over(rota::page_ref* p, std::int32_t* c) const {
    rota::page_list l;
    l.pages = rota::view<rota::page_ref, 2>(p, {heads, capacity}, {stride, 1});
    l.counts = rota::view<std::int32_t, 1>(c, heads);
    return l;
  }
};

/// An empty index on the host, and one in device memory; rows of bounds are 16 bytes further apart
/// than they are long.
template <rota::element E>
struct device_index {
  static constexpr index_t gap = 16 / sizeof(E);
  device_list pages;
  index_t d;
  std::vector<E> host_low, host_high;
  device_array<E> low, high;
  rota::page_index<E> index, host;

  device_index(index_t heads, index_t capacity, index_t d_k)
      : pages(heads, capacity),
        d(d_k),
        host_low(static_cast<std::size_t>(heads * capacity * (d_k + gap))),
        host_high(host_low.size()),
        low(host_low),
        high(host_high) {
    index.list = pages.list;
    index.low = over(low.data());
    index.high = over(high.data());
    host.list = pages.host;
    host.low = over(host_low.data());
    host.high = over(host_high.data());
  }

  /// Whether the device has just this index, bit for bit but for the bits of a NaN.
  bool is(const rota::page_index<E>& want) const {
    const std::vector<rota::page_ref> got = pages.pages.download();
    const std::vector<std::int32_t> counts = pages.counts.download();
    std::vector<E> l = low.download(), u = high.download();
    const rota::view<E, 3> got_low = over(l.data()), got_high = over(u.data());
    for (index_t h = 0; h < pages.heads; ++h) {
      if (counts[static_cast<std::size_t>(h)] != want.list.counts(h)) return false;
      for (index_t p = 0; p < want.list.counts(h); ++p) {
        if (!same(got[static_cast<std::size_t>(h * pages.stride + p)], want.list.pages(h, p)))
          return false;
        for (index_t c = 0; c < d; ++c)
          if (!same(got_low(h, p, c), want.low(h, p, c)) ||
              !same(got_high(h, p, c), want.high(h, p, c)))
            return false;
      }
    }
    return true;
  }

  static bool same(const rota::page_ref& a, const rota::page_ref& b) {
    return a.block == b.block && a.first == b.first && a.count == b.count;
  }

 private:
  rota::view<E, 3> over(E* p) const {
    const index_t row = d + gap;
    return {p, {pages.heads, pages.capacity, d}, {pages.capacity * row, row, 1}};
  }
  static bool same(E a, E b) {
    const float x = static_cast<float>(a), y = static_cast<float>(b);
    return x == y || (x != x && y != y);
  }
};

/// A dense or paged store of the host's rows in device memory; the length lies there too if asked
/// for.
template <rota::element E>
struct device_dense {
  device_array<E> keys, values;
  device_array<std::int32_t> length;
  rota::dense_store<E> store;

  device_dense(const random_dense<E>& host, bool count_there)
      : keys(host.keys),
        values(host.values),
        length(std::vector<std::int32_t>{static_cast<std::int32_t>(host.store.length)}),
        store(host.store) {
    store.keys.data = keys.data();
    store.values.data = values.data();
    if (!count_there) return;
    store.length = 0;
    store.device_length = length.data();
  }
};

template <rota::element E>
struct device_paged {
  device_array<E> keys, values;
  device_array<std::int32_t> table, length;
  rota::paged_store<E> store;

  device_paged(const random_paged<E>& host, bool count_there)
      : keys(host.keys),
        values(host.values),
        table(host.table),
        length(std::vector<std::int32_t>{static_cast<std::int32_t>(host.store.length)}),
        store(host.store) {
    store.key_pages.data = keys.data();
    store.value_pages.data = values.data();
    store.block_table.data = table.data();
    if (!count_there) return;
    store.length = 0;
    store.device_length = length.data();
  }
};

template <rota::element E>
rota::status run_choice(const rota::cuda::backend& b, const rota::page_index<E>& index,
                        const rota::view<const float, 3>& q, index_t pages,
                        const rota::page_list& out) {
  const device_workspace ws(rota::cuda::select_pages_workspace_bytes(b, index, q));
  return rota::cuda::select_pages(b, index, q, {pages}, out, ws.get());
}

struct read_shape {
  index_t page_tokens = 16, wanted = 4, queries = 1, group = 2;
  rota::attend_params params;
};

/// A step of reading: index, choice, attention, against the CPU and the double reference.
struct read_result {
  bool same_index = false;
  index_t moved = 0;  ///< pages that only one backend chose
  double error = 0;
  std::vector<float> out;
  index_t bytes = 0;       ///< that are copied, as the device says
  index_t host_bytes = 0;  ///< that are read at least
  index_t parts = 0;       ///< of pages
};

template <class Host>
std::vector<float> step_queries(const read_shape& s, const Host& host, std::uint64_t seed,
                                bool whole_numbers) {
  random_source rng(seed);
  std::vector<float> q(
      static_cast<std::size_t>(s.queries * host.kv_heads() * s.group * host.d_k()));
  using E = typename Host::element_type;
  for (float& x : q)
    x = whole_numbers ? static_cast<float>(rng.between(-2, 2))
                      : static_cast<float>(E(rng.normal()));
  return q;
}

/// Pages of a head that are in one list and not in the other.
inline index_t differing(const rota::page_list& a, const rota::page_list& b, index_t h) {
  index_t n = 0;
  for (index_t i = 0; i < a.counts(h); ++i) {
    bool there = false;
    for (index_t j = 0; j < b.counts(h); ++j)
      there = there || device_index<float>::same(a.pages(h, i), b.pages(h, j));
    n += !there;
  }
  return n;
}

/// `between`: called when the pages are chosen, before they are read.
template <class Store, class Host, class F>
read_result read_step(const gpu& g, const Store& store, const Host& host, const read_shape& s,
                      const std::vector<float>& q, F&& between) {
  using E = typename Store::element_type;
  read_result r;
  index_t capacity = 1;
  for (index_t h = 0; h < host.kv_heads(); ++h)
    capacity = std::max(capacity, rota::page_count(host, h, s.page_tokens));
  device_index<E> index(host.kv_heads(), capacity, host.d_k());
  REQUIRE(rota::cuda::index_pages(g.backend(), store, s.page_tokens, index.index).ok());
  REQUIRE(g.result().ok());
  REQUIRE(rota::cpu::index_pages(rota::cpu::backend{}, host, s.page_tokens, index.host).ok());
  r.same_index = index.is(index.host);

  device_list chosen(host.kv_heads(), std::min(capacity, s.wanted)),
      want(host.kv_heads(), std::min(capacity, s.wanted));
  rota::cuda::page_view<Store> view{&store, chosen.list, s.page_tokens};
  device_item<rota::cuda::page_view<Store>> item(q, view, s.queries, host.kv_heads() * s.group);
  REQUIRE(run_choice(g.backend(), index.index, item.item.q, s.wanted, chosen.list).ok());
  REQUIRE(g.result().ok());
  const rota::view<const float, 3> host_q(q.data(), s.queries, host.kv_heads() * s.group,
                                          host.d_k());
  const aligned_memory ws(
      rota::cpu::select_pages_workspace_bytes(rota::cpu::backend{}, index.host, host_q));
  REQUIRE(rota::cpu::select_pages(rota::cpu::backend{}, index.host, host_q, {s.wanted}, want.host,
                                  ws.workspace())
              .ok());
  chosen.download();
  for (index_t h = 0; h < host.kv_heads(); ++h) {
    REQUIRE(chosen.host.counts(h) == want.host.counts(h));
    r.moved += differing(chosen.host, want.host, h);
  }
  between(chosen.host);
  REQUIRE(run_attend(g.backend(), std::vector{item.item}, s.params).ok());
  REQUIRE(g.result().ok());
  rota::page_view<Host> part;
  part.store = &host;
  part.list = chosen.host;
  REQUIRE(part.check().ok());
  r.error = item.error(part, s.params);
  r.out = item.out.download();
  const device_array<std::int64_t> bytes(1);
  REQUIRE(rota::cuda::page_read_bytes(g.backend(), view, bytes.data()).ok());
  REQUIRE(g.result().ok());
  r.bytes = bytes.download()[0];
  r.host_bytes = part.read_bytes();
  for (index_t h = 0; h < host.kv_heads(); ++h)
    for (index_t i = 0; i < chosen.host.counts(h); ++i)
      r.parts += (chosen.host.pages(h, i).count + 15) / 16;
  return r;
}

}  // namespace rota_test
