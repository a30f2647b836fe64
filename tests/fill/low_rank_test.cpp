#include <string>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/packed_sample.hpp"

using namespace rota;
using namespace rota_test;

namespace {

using op = attention<groups<value_norm, fixed_k>, packed<f32, 4>, low_rank_fill<3>>;
using coded_context = context<f32, fill_codec>;
const cpu::backend one;

/// A layer of two kv heads with four groups of four, and its codec.
struct coded_layer {
  random_layer<f32> plain;
  random_codec fill;
  coded_context ctx;

  coded_layer(random_source& rng, index_t n, index_t rank = 3)
      : plain(rng, n, 2, 16, 16), fill(rng, 2, rank, 16) {
    ctx.keys = plain.context.keys;
    ctx.values = plain.context.values;
    static_cast<fill_codec&>(ctx) = fill.codec;
  }
};

struct owned_store {
  aligned_memory memory;
  op::store_type store;
  explicit owned_store(index_t bytes) : memory(static_cast<std::size_t>(bytes)) {
    store = {memory.data(), bytes};
  }
};

op::params keep(int k) {
  op::params p;
  p.protect = {2, 3};
  p.groups.budget.k = k;
  p.store.tail_capacity = 4;
  return p;
}

status compress(const coded_context& ctx, const op::params& p, op::store_type& store) {
  const aligned_memory ws(op::compress_workspace_bytes(one, ctx, p));
  return op::compress(one, ctx, p, store, ws.workspace());
}

/// The rows of head h, filled, and what is stored of them.
struct plain_rows {
  std::vector<f32> keys, values;
  std::vector<position_t> positions;
  std::vector<group_mask> available;
  plain_rows(const op::store_type& store, index_t h) {
    const auto n = static_cast<std::size_t>(cpu::token_count(store, h));
    keys.resize(n * 16);
    values.resize(n * 16);
    positions.resize(n);
    available.resize(n);
    cpu::unpack_head(one, store, h,
                     {keys.data(), values.data(), positions.data(), available.data()});
  }
};

}  // namespace

TEST_CASE("a low-rank fill rebuilds dropped groups and gives kept ones back") {
  random_source rng(1);
  const coded_layer layer(rng, 40);
  owned_store made(op::max_store_bytes(layer.ctx, keep(2)));
  REQUIRE(compress(layer.ctx, keep(2), made.store).ok());
  for (index_t h = 0; h < 2; ++h) {
    const plain_rows rows(made.store, h);
    for (index_t j = 0; j < 40; ++j) {
      const unsigned mask = rows.available[static_cast<std::size_t>(j)];
      CHECK(__builtin_popcount(mask) == (j < 2 || j >= 37 ? 4 : 2));
      for (index_t c = 0; c < 16; ++c) {
        double want = static_cast<double>(layer.ctx.values(j, h, c));
        if (((mask >> (c / 4)) & 1) == 0) {
          want = 0;
          for (index_t r = 0; r < 3; ++r) {
            double code = 0;
            for (index_t i = 0; i < 16; ++i)
              if ((mask >> (i / 4)) & 1)
                code += static_cast<double>(layer.ctx.encode(h, r, i)) *
                        static_cast<double>(layer.ctx.values(j, h, i));
            want += code * static_cast<double>(layer.ctx.decode(h, r, c));
          }
        }
        CHECK(rows.values[static_cast<std::size_t>(j * 16 + c)] ==
              doctest::Approx(want).epsilon(1e-5).scale(1));
      }
    }
  }
}

TEST_CASE("tokens that drop nothing are stored exactly, with codes or without") {
  random_source rng(2);
  const coded_layer layer(rng, 30);
  owned_store made(op::max_store_bytes(layer.ctx, keep(4)));
  REQUIRE(compress(layer.ctx, keep(4), made.store).ok());
  for (index_t h = 0; h < 2; ++h) {
    const plain_rows rows(made.store, h);
    for (index_t j = 0; j < 30; ++j)
      for (index_t c = 0; c < 16; ++c)
        CHECK(rows.values[static_cast<std::size_t>(j * 16 + c)] == layer.ctx.values(j, h, c));
  }
}

TEST_CASE("codes are counted: a store weighs what its records say") {
  random_source rng(3);
  sample_options options{300, 0.5, 0, 0, false, 0, 0};
  const packed_sample<packed<bf16, 16>> plain(rng, options);
  options.rank = 8;
  const packed_sample<packed<bf16, 16>> coded(rng, options);
  index_t tokens = 0;
  for (index_t h = 0; h < 2; ++h) tokens += static_cast<index_t>(coded.store.head(h).tokens);
  CHECK(coded.store.bytes() > plain.store.bytes() * 9 / 10 + tokens * 8 * 2);
  CHECK(verify(coded.store).ok());
}

TEST_CASE("a store with codes is saved, restored and copied to the same attention") {
  random_source rng(4);
  const packed_sample<packed<bf16, 16, value_order::token_major, 64>> sample(
      rng, {300, 0.4, 5, 9, false, 8, 0});
  const saved_identity origin{1, 2};
  aligned_memory saved(static_cast<std::size_t>(saved_bytes(sample.store)));
  REQUIRE(save(sample.store, origin, {saved.data(), saved.size()}).ok());
  index_t bytes = 0;
  using store_type = std::remove_cvref_t<decltype(sample.store)>;
  REQUIRE(restored_bytes<store_type>({saved.data(), saved.size()}, 20, bytes).ok());
  const aligned_memory memory(static_cast<std::size_t>(bytes));
  store_type again{memory.data(), bytes};
  REQUIRE(restore({saved.data(), saved.size()}, origin, 20, again).ok());
  CHECK(verify(again).ok());
  CHECK(attend_once(again) == attend_once(sample.store));
}

TEST_CASE("re-routing keeps what is left and codes it anew") {
  random_source rng(5);
  const coded_layer layer(rng, 60);
  owned_store first(op::max_store_bytes(layer.ctx, keep(3)));
  REQUIRE(compress(layer.ctx, keep(3), first.store).ok());
  owned_store second(op::max_store_bytes(layer.ctx, keep(1)));
  const aligned_memory ws(op::reroute_workspace_bytes(one, first.store, layer.ctx, keep(1)));
  REQUIRE(op::reroute(one, first.store, layer.ctx, keep(1), second.store, ws.workspace()).ok());
  REQUIRE(verify(second.store).ok());
  for (index_t h = 0; h < 2; ++h) {
    const plain_rows rows(second.store, h);
    for (index_t j = 2; j < 57; ++j) {
      const unsigned mask = rows.available[static_cast<std::size_t>(j)];
      CHECK(__builtin_popcount(mask) == 1);
      for (index_t c = 0; c < 16; ++c)
        if ((mask >> (c / 4)) & 1)
          CHECK(rows.values[static_cast<std::size_t>(j * 16 + c)] ==
                doctest::Approx(static_cast<double>(layer.ctx.values(j, h, c)))
                    .epsilon(1e-5)
                    .scale(1));
    }
  }
}

TEST_CASE("a codec of another shape is refused, the store untouched") {
  struct refusal {
    const char* argument;
    void (*spoil)(coded_context&);
  };
  const refusal refusals[] = {{"encode", [](coded_context& c) { c.encode.data = nullptr; }},
                              {"encode", [](coded_context& c) { c.encode.extent[1] -= 1; }},
                              {"encode", [](coded_context& c) { c.encode.extent[0] -= 1; }},
                              {"decode", [](coded_context& c) { c.decode.extent[2] -= 1; }},
                              {"decode", [](coded_context& c) { c.decode = {}; }}};
  random_source rng(6);
  const coded_layer layer(rng, 20);
  for (const refusal& r : refusals) {
    coded_context ctx = layer.ctx;
    r.spoil(ctx);
    owned_store made(op::max_store_bytes(layer.ctx, keep(2)));
    std::fill_n(made.memory.data(), made.memory.size(), std::byte{7});
    const status s = compress(ctx, keep(2), made.store);
    CHECK_FALSE(s.ok());
    CHECK(std::string(s.argument) == r.argument);
    for (std::size_t i = 0; i < made.memory.size(); ++i)
      CHECK(made.memory.data()[i] == std::byte{7});
  }
}
