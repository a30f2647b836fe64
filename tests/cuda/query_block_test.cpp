#include <rota/cuda/merge.cuh>

#include "cuda/attend_case.hpp"

// Blocks of queries behind a packed prefix, in both ways: the block's rows are appended to the
// store's tail, then it is asked; or the prefix is asked without causality, the block's own rows
// causally in a dense store, and the two results are merged.

namespace {

using rota::bf16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::device_item;
using rota_test::gpu;

using layout = rota::cuda::packed<bf16, 8>;  // one kind: kernels are compiled for each

constexpr double tolerance = 4e-3;

/// n queries at the end of a tail of `tail` tokens.
attend_shape block_shape(index_t n, index_t tail, index_t d) {
  attend_shape s;
  s.tokens = 90;
  s.tail = tail;
  s.kv_heads = 1;
  s.group = 2;
  s.d = d;
  s.queries = n;
  return s;
}

/// The store's tail as a store of its own.
rota::dense_store<bf16> dense_block(const rota_test::device_layer<bf16>& rows,
                                    const rota_test::packed_case<layout>& c) {
  const attend_shape& s = c.shape;
  const index_t token = s.kv_heads * s.d;
  rota::dense_store<bf16> store;
  store.keys = {rows.keys.data(), {s.kv_heads, s.tail, s.d}, {s.d, token, 1}};
  store.values = {rows.values.data(), {s.kv_heads, s.tail, s.d}, {s.d, token, 1}};
  store.length = s.tail;
  store.first_position = c.layer.positions.back() + 1;
  return store;
}

/// The error of prefix and block merged, against the reference over a store that holds both.
template <class Io>
double merged_error(std::uint64_t seed, int architecture, const attend_shape& s) {
  using store_type = layout::store_type;
  const rota_test::packed_case<layout> c(31, s);
  const gpu g(seed, architecture);
  rota_test::device_store<layout> whole(c.packed_shape(), s.tokens);
  c.fill(g, whole);
  rota::packed_shape without_tail = c.packed_shape();
  without_tail.tail_capacity = 0;
  rota_test::device_store<layout> prefix(without_tail, s.tokens);
  const rota_test::coded_device_layer<bf16> rows(c.layer, c.codec);
  const rota_test::device_selection selected(c.kept);
  REQUIRE(rota_test::run_pack(g.backend(), without_tail, rows.context, selected.kept, prefix.store)
              .ok());
  const rota_test::device_layer<bf16> block_rows(c.tail);
  const rota::dense_store<bf16> block = dense_block(block_rows, c);

  const index_t heads = s.kv_heads * s.group;
  const device_item<store_type> a(c.queries, prefix.store, s.queries, heads);
  const device_item<rota::dense_store<bf16>> b(c.queries, block, s.queries, heads);
  const device_item<store_type, Io> both(c.queries, whole.store, s.queries, heads);
  rota::attend_params everything;
  everything.causal = false;
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{a.item}, everything).ok());
  REQUIRE(rota_test::run_attend(g.backend(), std::vector{b.item}, {}).ok());
  REQUIRE(rota::cuda::merge(g.backend(), {a.item.out, a.item.lse}, {b.item.out, b.item.lse},
                            rota::partial_attention<Io>{both.item.out, both.item.lse})
              .ok());
  REQUIRE(g.result().ok());
  return both.error(whole.to_host().store, {});
}

TEST_CASE("a block appended to the tail") {
  for (const index_t n : {17, 64, 200}) {
    CHECK(rota_test::packed_case<layout>(30, block_shape(n, n, 64)).error(0, 90) < tolerance);
    CHECK(rota_test::packed_case<layout>(30, block_shape(n, n, 128)).error(0, 80) < tolerance);
  }
  rota_test::for_each_schedule([](std::uint64_t seed) {
    CHECK(rota_test::packed_case<layout>(32, block_shape(17, 17, 64)).error(seed, 90) < tolerance);
  });
}

TEST_CASE("a block at the end of a longer tail, and one that begins in the prefix") {
  CHECK(rota_test::packed_case<layout>(33, block_shape(17, 150, 64)).error(0, 90) < tolerance);
  CHECK(rota_test::packed_case<layout>(33, block_shape(100, 70, 64)).error(1, 80) < tolerance);
}

TEST_CASE("means, codes and a sliding window") {
  attend_shape s = block_shape(70, 70, 64);
  s.means = true;
  CHECK(rota_test::packed_case<layout>(34, s).error(0, 90) < tolerance);
  s.means = false;
  s.rank = 8;
  CHECK(rota_test::packed_case<layout>(34, s).error(0, 90) < tolerance);
  s.rank = 0;
  s.params.sliding_window = 80;
  CHECK(rota_test::packed_case<layout>(34, s).error(0, 90) < tolerance);
}

TEST_CASE("prefix and block apart, then merged") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    CHECK(merged_error<float>(seed, 90, block_shape(17, 17, 64)) < tolerance);
  });
  CHECK(merged_error<float>(0, 80, block_shape(64, 64, 128)) < tolerance);
  CHECK(merged_error<float>(0, 90, block_shape(200, 200, 128)) < tolerance);
  CHECK(merged_error<bf16>(1, 90, block_shape(200, 200, 64)) < tolerance + 2e-3);
  attend_shape s = block_shape(40, 40, 64);
  s.means = true;  // the block drops nothing, so that it needs none
  CHECK(merged_error<float>(2, 90, s) < tolerance);
  s.keep_tokens = 0;  // nothing in the prefix
  CHECK(merged_error<float>(3, 80, s) < tolerance);
}

}  // namespace
