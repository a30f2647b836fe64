#include "cuda/read_select_case.hpp"

// What read-select refuses: what the host can see by a status, what only the device can see by the
// fault word. Nothing is written either way.

namespace {

using rota::bf16;
using rota::errc;
using rota::index_t;
using rota_test::device_dense;
using rota_test::device_index;
using rota_test::device_list;
using rota_test::gpu;
using rota_test::random_dense;
using rota_test::random_source;

rota_test::plain_shape dense_shape(index_t length) {
  rota_test::plain_shape s;
  s.kv_heads = 2;
  s.d_k = s.d_v = 64;
  s.length = length;
  s.spare = 5;
  return s;
}

void refused(const rota::status& got, errc code, const std::string& argument) {
  CHECK(got.code == code);
  CHECK(std::string(got.argument) == argument);
}

/// A dense store, its index and a choice of it, to be made wrong.
struct refusal_case {
  random_source rng{19};
  random_dense<bf16> host{rng, dense_shape(70)};
  gpu g;
  device_dense<bf16> device{host, false};
  device_index<bf16> index{2, 5, 64};
  device_list out{2, 5};
  rota_test::device_array<float> q{std::vector<float>(4 * 64, 1.0f)};
  rota::view<const float, 3> queries{q.data(), 1, 4, 64};

  rota::status make_index(const rota::page_index<bf16>& i, index_t page_tokens = 16) const {
    return rota::cuda::index_pages(g.backend(), device.store, page_tokens, i);
  }
  rota::status choose(const rota::page_index<bf16>& i, index_t pages,
                      const rota::page_list& to) const {
    return rota_test::run_choice(g.backend(), i, queries, pages, to);
  }
  bool out_is_untouched() const {
    for (const std::int32_t n : out.counts.download())
      if (n != 0) return false;
    return true;
  }
};

TEST_CASE("read-select refuses what the host can see, and writes nothing") {
  refusal_case c;
  const auto with = [&](auto&& change) {
    rota::page_index<bf16> bad = c.index.index;
    change(bad);
    return bad;
  };
  device_index<bf16> small(2, 4, 64);
  refused(c.make_index(small.index), errc::store_too_small, "index");
  refused(c.make_index(c.index.index, 0), errc::bad_parameter, "page_tokens");
  refused(c.make_index(with([](auto& i) { i.low.extent[2] = 56; })), errc::bad_shape, "index.low");
  refused(c.make_index(with([](auto& i) { i.high.data = nullptr; })), errc::null_view,
          "index.high");
  refused(c.make_index(with([](auto& i) { ++i.low.data; })), errc::bad_alignment, "index.low");
  refused(c.make_index(with([](auto& i) { i.high.stride[1] = 8; })), errc::bad_stride,
          "index.high");
  refused(c.make_index(with([](auto& i) { i.list.pages.extent[0] = 1; })), errc::bad_shape,
          "index.pages");
  refused(c.make_index(with([](auto& i) { i.list.counts.extent[0] = 1; })), errc::bad_shape,
          "index.counts");
  refused(c.make_index(with([&](auto& i) { i.low.data = c.device.keys.data(); })),
          errc::overlapping_memory, "index");
  std::vector<std::int32_t> on_host(2);
  refused(c.make_index(with([&](auto& i) { i.list.counts.data = on_host.data(); })),
          errc::wrong_memory, "index.counts");
  for (const std::int32_t n : c.index.pages.counts.download()) CHECK(n == 0);

  REQUIRE(c.make_index(c.index.index).ok());
  refused(c.choose(c.index.index, 0, c.out.list), errc::bad_parameter, "pages");
  const auto ask = [&](const rota::view<const float, 3>& q) {
    return rota_test::run_choice(c.g.backend(), c.index.index, q, 2, c.out.list);
  };
  refused(ask(rota::view<const float, 3>(c.q.data(), 1, 3, 64)), errc::heads_not_divisible, "q");
  refused(ask(rota::view<const float, 3>(c.q.data(), 1, 4, 32)), errc::bad_shape, "q");
  refused(ask(rota::view<const float, 3>(nullptr, 1, 4, 64)), errc::null_view, "q");
  const device_list narrow(2, 2);
  refused(c.choose(c.index.index, 3, narrow.list), errc::bad_shape, "out.pages");
  refused(c.choose(c.index.index, 3, c.index.index.list), errc::overlapping_memory, "out.pages");
  rota::page_list list = c.out.list;
  list.counts.extent[0] = 1;
  refused(c.choose(c.index.index, 3, list), errc::bad_shape, "out.counts");
  refused(rota::cuda::select_pages(c.g.backend(), c.index.index, c.queries, {2}, c.out.list, {}),
          errc::workspace_too_small, "ws");
  CHECK(c.out_is_untouched());

  using view_type = rota::cuda::page_view<rota::dense_store<bf16>>;
  view_type view{&c.device.store, c.out.list, 16};
  rota_test::device_item<view_type> item(std::vector<float>(4 * 64, 1.0f), view, 1, 4);
  const auto attend = [&] {
    return rota_test::run_attend(c.g.backend(), std::vector{item.item}, {});
  };
  view.page_tokens = 0;
  refused(attend(), errc::bad_parameter, "page_tokens");
  view.page_tokens = 16;
  view.list.pages.data = nullptr;
  refused(attend(), errc::null_view, "store.pages");
  view.list = c.out.list;
  view.list.pages.extent[0] = 1;
  refused(attend(), errc::bad_shape, "store.pages");
  view.list = c.out.list;
  view.store = nullptr;
  refused(attend(), errc::null_view, "store");
  view.store = &c.device.store;
  refused(rota::cuda::page_read_bytes(c.g.backend(), view, nullptr), errc::null_view, "bytes");
  CHECK(c.g.result().ok());
}

TEST_CASE("pages of packed stores begin where their chunks' order does") {
  using layout = rota::cuda::packed<bf16, 8>;
  rota_test::attend_shape s;
  s.kv_heads = 1;
  const rota_test::packed_case<layout> c(20, s);
  const gpu g;
  rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  const device_index<bf16> index(1, 100, 64);
  refused(rota::cuda::index_pages(g.backend(), store.store, 12, index.index), errc::unsupported,
          "page_tokens");
}

TEST_CASE("what only the device can see is reported, and nothing is written") {
  refusal_case c;
  const auto reported = [&](errc code, const std::string& argument) {
    refused(c.g.result(), code, argument);
    c.g.clear_fault();
  };
  // A store that has grown beyond its index.
  device_dense<bf16> counted(c.host, true);
  const device_index<bf16> small(2, 4, 64);
  REQUIRE(rota::cuda::index_pages(c.g.backend(), counted.store, 16, small.index).ok());
  reported(errc::store_too_small, "index");
  for (const std::int32_t n : small.pages.counts.download()) CHECK(n == 0);
  counted.length.upload({76});
  REQUIRE(rota::cuda::index_pages(c.g.backend(), counted.store, 16, c.index.index).ok());
  reported(errc::bad_count, "length");
  for (const std::int32_t n : c.index.pages.counts.download()) CHECK(n == 0);
  // Counts beyond the index.
  for (const std::int32_t wrong : {-1, 6}) {
    c.index.pages.counts.upload({0, wrong});
    REQUIRE(c.make_index(c.index.index).ok());
    reported(errc::bad_count, "index");
    REQUIRE(c.choose(c.index.index, 2, c.out.list).ok());
    reported(errc::bad_count, "index");
    CHECK(c.out_is_untouched());
  }
  c.index.pages.counts.upload({0, 0});
  REQUIRE(c.make_index(c.index.index).ok());
  REQUIRE(c.choose(c.index.index, 3, c.out.list).ok());
  REQUIRE(c.g.result().ok());
  c.out.download();
  // Lists of pages that are not there, cut wrong or do not ascend.
  using view_type = rota::cuda::page_view<rota::dense_store<bf16>>;
  const view_type view{&c.device.store, c.out.list, 16};
  const auto is_refused = [&](errc code) {
    const rota_test::device_item<view_type> item(std::vector<float>(4 * 64, 1.0f), view, 1, 4);
    REQUIRE(rota_test::run_attend(c.g.backend(), std::vector{item.item}, {}).ok());
    reported(code, "store.pages");
    for (const float x : item.out.download()) CHECK(x != x);  // untouched
    const rota_test::device_array<std::int64_t> bytes(std::vector<std::int64_t>{-5});
    REQUIRE(rota::cuda::page_read_bytes(c.g.backend(), view, bytes.data()).ok());
    reported(code, "store.pages");
    CHECK(bytes.download()[0] == -5);
  };
  const rota::page_ref kept = c.out.host.pages(1, 0);
  for (const rota::page_ref wrong :
       {rota::page_ref{9, 0, 1}, rota::page_ref{-1, 0, 1}, rota::page_ref{0, 60, 11},
        rota::page_ref{0, -1, 4}, rota::page_ref{0, 0, -1}, rota::page_ref{0, 0, 17},
        rota::page_ref{0, 64, 6}}) {
    c.out.host.pages(1, 0) = wrong;
    c.out.upload();
    is_refused(errc::bad_store);
  }
  c.out.host.pages(1, 0) = kept;
  c.out.host.counts(0) = 6;
  c.out.upload();
  is_refused(errc::bad_count);
}

}  // namespace
