#include <rota/cuda/read_select.cuh>

#include "cuda/attend_case.hpp"

// Stores whose memory says what cannot be: attention reports it, ends, and leaves outputs alone.

namespace {

using rota::errc;
using rota::index_t;
using rota_test::gpu;

using layout = rota::cuda::packed<rota::bf16, 8>;
using store_type = layout::store_type;

/// A packed store whose bytes are changed on the host.
struct corrupt_case {
  rota_test::attend_shape shape;
  rota_test::packed_case<layout> rows;
  gpu g;
  rota_test::device_store<layout> store;
  std::vector<std::byte> bytes;

  explicit corrupt_case(std::uint64_t seed, int architecture)
      : shape(shape_of()),
        rows(1, shape),
        g(seed, architecture),
        store(rows.packed_shape(), shape.tokens) {
    rows.fill(g, store);
    bytes = store.memory.download();
  }
  static rota_test::attend_shape shape_of() {
    rota_test::attend_shape s;
    s.tokens = 200;
    s.keep_tokens = 0.9;
    return s;
  }

  rota::packed_header& header() { return *reinterpret_cast<rota::packed_header*>(bytes.data()); }
  rota::packed_head& head(index_t h) {
    return reinterpret_cast<rota::packed_head*>(bytes.data() + sizeof(rota::packed_header))[h];
  }
  std::uint64_t& offset(index_t record) {
    return reinterpret_cast<std::uint64_t*>(&head(shape.kv_heads))[record];
  }
  /// The words of a record's header: tokens and order, slices.
  std::uint32_t* record(index_t i) {
    return reinterpret_cast<std::uint32_t*>(bytes.data() + offset(i));
  }

  /// Whether attention over the changed store says so and writes nothing.
  bool is_refused() {
    store.memory.upload(bytes);
    return refuses(store.store);
  }
  /// The same over pages: of each head the first and one of the second record.
  bool is_refused_by_pages() {
    store.memory.upload(bytes);
    std::vector<rota::page_ref> refs;
    for (index_t h = 0; h < shape.kv_heads; ++h)
      for (const std::int32_t block : {0, 1}) refs.push_back({block, 16, 16});
    const rota_test::device_array<rota::page_ref> pages(refs);
    const rota_test::device_array<std::int32_t> counts(std::vector<std::int32_t>{2, 2});
    rota::cuda::page_view<store_type> view;
    view.store = &store.store;
    view.list.pages = rota::view<rota::page_ref, 2>(pages.data(), shape.kv_heads, 2);
    view.list.counts = rota::view<std::int32_t, 1>(counts.data(), shape.kv_heads);
    view.page_tokens = 16;
    return refuses(view);
  }

 private:
  template <class Store>
  bool refuses(const Store& over) {
    const rota_test::device_item<Store> item(rows.queries, over, shape.queries,
                                             shape.kv_heads * shape.group);
    REQUIRE(rota_test::run_attend(g.backend(), std::vector{item.item}, {}).ok());
    bool untouched = true;
    for (const float x : item.out.download()) untouched = untouched && x != x;
    for (const float x : item.lse.download()) untouched = untouched && x != x;
    return g.result() == errc::bad_store && untouched;
  }
};

/// Calls change(case), then asks whether it is refused, with both ways of copying.
template <class F>
void expect_refused(F&& change) {
  rota_test::for_each_schedule([&](std::uint64_t seed) {
    for (const int architecture : {80, 90}) {
      corrupt_case c(seed, architecture);
      change(c);
      CHECK(c.is_refused());
    }
  });
}

TEST_CASE("a table of offsets that is broken") {
  const auto with = [](index_t record, auto&& value) {
    return [record, value](corrupt_case& c) { c.offset(record) = value(c); };
  };
  expect_refused(with(1, [](corrupt_case& c) { return c.offset(0); }));  // no bytes
  expect_refused(with(1, [](corrupt_case& c) { return c.offset(0) - 64; }));
  expect_refused(with(2, [](corrupt_case& c) { return c.offset(1) + 0x10000; }));  // too many
  expect_refused(with(2, [](corrupt_case& c) { return c.offset(2) + 4; }));        // unaligned
  expect_refused(with(5, [](corrupt_case& c) { return c.header().bytes; }));
  expect_refused(with(0, [](corrupt_case&) { return ~std::uint64_t{0} - 63; }));
  expect_refused([](corrupt_case& c) {  // all records beyond the end
    for (index_t i = 0; i < 6; ++i) c.offset(i) += c.header().bytes / 64 * 64;
    c.header().tail_keys_at += c.header().bytes / 64 * 64;
  });
}

TEST_CASE("counts of a head that cannot be") {
  expect_refused([](corrupt_case& c) { c.head(1).record_count += 1; });
  expect_refused([](corrupt_case& c) { c.head(0).record_count = ~std::uint64_t{0}; });
  expect_refused([](corrupt_case& c) { c.head(1).first_record = 1u << 30; });
  expect_refused([](corrupt_case& c) { c.head(0).tokens = 10; });
  expect_refused([](corrupt_case& c) { c.head(0).tokens = ~std::uint64_t{0}; });
  expect_refused([](corrupt_case& c) { c.head(1).slices = std::uint64_t{1} << 40; });
  expect_refused([](corrupt_case& c) { c.header().record_count = ~std::uint64_t{0}; });
}

TEST_CASE("a record whose header cannot be") {
  expect_refused([](corrupt_case& c) { c.record(1)[0] |= 0xffffu; });
  expect_refused([](corrupt_case& c) { c.record(1)[1] = ~0u; });
}

TEST_CASE("pages of such stores") {
  const auto refused = [](auto&& change) {
    for (const int architecture : {80, 90}) {
      corrupt_case c(0, architecture);
      change(c);
      CHECK(c.is_refused_by_pages());
    }
  };
  refused([](corrupt_case& c) { c.offset(1) = ~std::uint64_t{0} - 63; });
  refused([](corrupt_case& c) { c.offset(0) += 4; });
  refused([](corrupt_case& c) { c.head(0).tokens = 10; });
  refused([](corrupt_case& c) { c.record(1)[0] |= 0xffffu; });
  refused([](corrupt_case& c) { c.record(1)[1] = ~0u; });
}

}  // namespace
