#include <cstring>

#include <doctest/doctest.h>

#include <rota/cpu/append.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/cpu/unpack.hpp>

#include "support/memory.hpp"
#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

/// A packed store that owns its memory.
template <class Layout>
struct packed_fixture {
  using store_type = typename Layout::store_type;
  packed_shape shape;
  aligned_memory memory;
  store_type store;

  template <class Context>
  packed_fixture(const Context& ctx, const selection& kept, index_t tail, bool means)
      : shape(Layout::shape(ctx.kv_heads(), ctx.d_k(), ctx.d_v(), {tail}, means, means)),
        memory(static_cast<std::size_t>(packed_bytes(shape, kept))) {
    store.data = memory.data();
    store.capacity_bytes = static_cast<index_t>(memory.size());
    const aligned_memory ws(cpu::pack_workspace_bytes(cpu::backend{}, shape));
    const status s = cpu::pack(cpu::backend{}, shape, ctx, kept, store, ws.workspace());
    REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
  }
};

/// What unpacking must give: the kept slices as they were, the rest zero.
template <class Layout, element E>
void check_round_trip(const random_layer<E>& layer, const selection& kept,
                      const packed_fixture<Layout>& packed) {
  const auto& ctx = layer.context;
  const index_t width = Layout::width;
  for (index_t h = 0; h < ctx.kv_heads(); ++h) {
    const index_t n = cpu::token_count(packed.store, h);
    REQUIRE(n == kept.counts(h));
    std::vector<E> keys(static_cast<std::size_t>(n * ctx.d_k()));
    std::vector<E> values(static_cast<std::size_t>(n * ctx.d_v()));
    std::vector<position_t> positions(static_cast<std::size_t>(n));
    std::vector<group_mask> available(static_cast<std::size_t>(n));
    cpu::unpack_head(cpu::backend{}, packed.store, h,
                     {keys.data(), values.data(), positions.data(), available.data()});
    for (index_t i = 0; i < n; ++i) {
      const index_t at = kept.indices(h, i);
      CHECK(positions[static_cast<std::size_t>(i)] == ctx.position(at));
      CHECK(available[static_cast<std::size_t>(i)] == kept.masks(h, i));
      CHECK(std::memcmp(&keys[static_cast<std::size_t>(i * ctx.d_k())], ctx.keys.row(at, h),
                        sizeof(E) * static_cast<std::size_t>(ctx.d_k())) == 0);
      for (index_t c = 0; c < ctx.d_v(); ++c) {
        const bool stored = (kept.masks(h, i) >> (c / width)) & 1;
        const float want = stored ? static_cast<float>(ctx.values(at, h, c)) : 0.0f;
        CHECK(static_cast<float>(values[static_cast<std::size_t>(i * ctx.d_v() + c)]) == want);
      }
    }
  }
}

template <class Layout>
void round_trips(std::uint64_t seed) {
  using E = typename Layout::element_type;
  random_source rng(seed);
  for (int round = 0; round < 40; ++round) {
    const index_t groups = rng.between(1, 8);
    const index_t n = rng.pick<index_t>({0, 1, 2, 63, 64, 65, 127, 128, 129, 300});
    const index_t kv_heads = rng.between(1, 3);
    const index_t d_v = groups * Layout::width;
    const random_layer<E> layer(rng, n, kv_heads, rng.pick<index_t>({8, 64, 80}), d_v,
                                rng.chance(0.5));
    const double keep_group = rng.pick<double>({0, 0.3, 0.5, 1});
    const random_selection sel(rng, n, kv_heads, static_cast<int>(groups), rng.uniform(),
                               keep_group);
    const packed_fixture<Layout> packed(layer.context, sel.kept, 5, false);
    check_round_trip(layer, sel.kept, packed);
  }
}

}  // namespace

TEST_CASE("what is packed unpacks to what was kept, in both orders") {
  round_trips<packed<bf16, 8>>(1);
  round_trips<packed<bf16, 16, value_order::token_major, 64>>(2);
  round_trips<packed<f16, 16>>(3);
  round_trips<packed<f32, 4>>(4);
  round_trips<packed<f32, 16, value_order::token_major>>(5);
}

TEST_CASE("a store's bytes are its memory, to the byte, and shrink with what is dropped") {
  random_source rng(6);
  const random_layer<bf16> layer(rng, 1000, 2, 64, 64);
  using layout = packed<bf16, 16>;
  const random_selection all(rng, 1000, 2, 4, 1, 1);
  const random_selection half(rng, 1000, 2, 4, 0.5, 1);
  const random_selection quarter(rng, 1000, 2, 4, 0.5, 0.5);
  const packed_fixture<layout> a(layer.context, all.kept, 0, false);
  const packed_fixture<layout> b(layer.context, half.kept, 0, false);
  const packed_fixture<layout> c(layer.context, quarter.kept, 0, false);
  CHECK(a.store.bytes() == static_cast<index_t>(a.memory.size()));
  CHECK(b.store.bytes() == static_cast<index_t>(b.memory.size()));
  CHECK(c.store.bytes() == static_cast<index_t>(c.memory.size()));
  const double dense = 1000.0 * 2 * 128 * 2;
  CHECK(static_cast<double>(a.store.bytes()) < 1.04 * dense);
  CHECK(static_cast<double>(b.store.bytes()) < 0.56 * dense);
  CHECK(c.store.bytes() < b.store.bytes());
}

TEST_CASE("appended tokens lie in the tail, whole, until it is full") {
  random_source rng(7);
  const random_layer<bf16> layer(rng, 10, 2, 16, 32);
  const random_selection sel(rng, 10, 2, 2, 0.5, 0.5);
  packed_fixture<packed<bf16, 16>> packed(layer.context, sel.kept, 70, false);
  auto& store = packed.store;
  CHECK(store.next_position() == 10);
  const random_layer<bf16> more(rng, 70, 2, 16, 32);
  const auto& k = more.context.keys;
  const auto& v = more.context.values;
  REQUIRE(cpu::append(cpu::backend{}, store, k, v).ok());
  CHECK(store.next_position() == 80);
  CHECK(store.block_count(0) == store.sealed_blocks(0) + 2);
  const block<bf16> last = store.block_at(1, store.block_count(1) - 1);
  CHECK(last.count == 6);
  CHECK(last.position(5) == 79);
  CHECK(last.keys[5 * 16 + 3].bits == k(69, 1, 3).bits);
  CHECK(last.values[5 * 32 + 31].bits == v(69, 1, 31).bits);

  const std::vector<std::byte> before(store.data, store.data + store.bytes());
  const view<const bf16, 3> one_k(k.data, 1, 2, 16), one_v(v.data, 1, 2, 32);
  CHECK(cpu::append(cpu::backend{}, store, one_k, one_v) == errc::tail_full);
  CHECK(std::memcmp(before.data(), store.data, before.size()) == 0);

  CHECK(cpu::roll_back(cpu::backend{}, store, 71) == errc::tail_too_short);
  CHECK(cpu::roll_back(cpu::backend{}, store, 81) == errc::bad_count);
  CHECK(cpu::roll_back(cpu::backend{}, store, -1) == errc::bad_count);
  CHECK(std::memcmp(before.data(), store.data, before.size()) == 0);
  REQUIRE(cpu::roll_back(cpu::backend{}, store, 6).ok());
  CHECK(store.next_position() == 74);
  CHECK(cpu::append(cpu::backend{}, store, one_k, one_v).ok());
}

TEST_CASE("packing refuses bad input and leaves the store alone") {
  random_source rng(8);
  const random_layer<f32> layer(rng, 20, 2, 16, 32);
  const random_selection sel(rng, 20, 2, 2, 1, 0.5);
  using layout = packed<bf16, 16>;
  const packed_shape shape = layout::shape(2, 16, 32, {0}, 0, false);
  const auto bytes = static_cast<std::size_t>(packed_bytes(shape, sel.kept));
  const aligned_memory memory(bytes + 64);
  std::memset(memory.data(), 0x5a, bytes);
  layout::store_type store{memory.data(), static_cast<index_t>(bytes)};
  const aligned_memory ws(cpu::pack_workspace_bytes(cpu::backend{}, shape));
  const cpu::backend cpu;

  const auto refused = [&](errc want, const char* argument, const packed_shape& s, const auto& ctx,
                           const selection& kept, layout::store_type& into, workspace scratch,
                           cpu::pack_options options = {}) {
    const status st = cpu::pack(cpu, s, ctx, kept, into, scratch, options);
    CHECK(st.code == want);
    CHECK(std::string(st.argument) == argument);
    for (std::size_t i = 0; i < bytes; ++i)
      if (memory.data()[i] != std::byte{0x5a}) FAIL("the store was written");
  };
  const auto& ctx = layer.context;
  workspace good = ws.workspace();

  auto broken = ctx;
  broken.keys.data = nullptr;
  refused(errc::null_view, "keys", shape, broken, sel.kept, store, good);
  broken = ctx;
  broken.values.extent[0] = 19;
  refused(errc::bad_shape, "values", shape, broken, sel.kept, store, good);

  packed_shape s = shape;
  s.record.d_k = 8;
  refused(errc::bad_shape, "shape", s, ctx, sel.kept, store, good);
  s = shape;
  s.record.width = 12;
  refused(errc::bad_group_width, "d_v", s, ctx, sel.kept, store, good);
  s = shape;
  s.tail_capacity = -1;
  refused(errc::bad_count, "tail_capacity", s, ctx, sel.kept, store, good);

  const std::int32_t saved = sel.kept.indices(1, 3);
  sel.kept.indices(1, 3) = sel.kept.indices(1, 2);
  refused(errc::bad_selection, "selection.indices", shape, ctx, sel.kept, store, good);
  sel.kept.indices(1, 3) = 20;
  refused(errc::bad_selection, "selection.indices", shape, ctx, sel.kept, store, good);
  sel.kept.indices(1, 3) = saved;
  const group_mask mask = sel.kept.masks(0, 0);
  sel.kept.masks(0, 0) = 4;
  refused(errc::bad_selection, "selection.masks", shape, ctx, sel.kept, store, good);
  sel.kept.masks(0, 0) = mask;
  sel.kept.counts(0) = 21;
  refused(errc::bad_selection, "selection.counts", shape, ctx, sel.kept, store, good);
  sel.kept.counts(0) = 20;

  const std::vector<group_mask> none(40, 0);
  auto partly = ctx;
  partly.available = view<const group_mask, 2>(none.data(), 2, 20);
  refused(errc::bad_selection, "selection.masks", shape, partly, sel.kept, store, good);

  layout::store_type small{memory.data(), static_cast<index_t>(bytes) - 1};
  refused(errc::store_too_small, "store", shape, ctx, sel.kept, small, good);
  layout::store_type crooked{memory.data() + 16, static_cast<index_t>(bytes)};
  refused(errc::bad_alignment, "store", shape, ctx, sel.kept, crooked, good);
  layout::store_type null{nullptr, static_cast<index_t>(bytes)};
  refused(errc::null_view, "store", shape, ctx, sel.kept, null, good);
  refused(errc::workspace_too_small, "ws", shape, ctx, sel.kept, store,
          {good.data, good.bytes - 1});
  refused(errc::workspace_too_small, "ws", shape, ctx, sel.kept, store,
          {static_cast<std::byte*>(good.data) + 8, good.bytes});
  refused(errc::overlapping_memory, "store", shape, ctx, sel.kept, store, {memory.data(), bytes});
  for (const auto& memory_read :
       {range_of(sel.kept.indices), range_of(ctx.keys), range_of(ctx.values)})
    refused(errc::overlapping_memory, "ws", shape, ctx, sel.kept, store,
            {const_cast<std::byte*>(memory_read.begin), 64});
  s = shape;
  s.record_tokens = 0;
  refused(errc::bad_count, "record_tokens", s, ctx, sel.kept, store, good);
  s.record_tokens = max_record_tokens + 1;
  refused(errc::bad_count, "record_tokens", s, ctx, sel.kept, store, good);
  s = shape;
  s.order = value_order::whole;
  refused(errc::bad_parameter, "order", s, ctx, sel.kept, store, good);
  s = shape;
  s.element_code = element_traits<f16>::code;
  refused(errc::bad_shape, "shape", s, ctx, sel.kept, store, good);
  s = shape;
  s.record.sizes = codec_traits<float>::sizes;
  refused(errc::bad_shape, "shape", s, ctx, sel.kept, store, good);
  refused(errc::bad_position, "next_position", shape, ctx, sel.kept, store, good, {{}, 19});

  cpu::backend nobody;
  nobody.exec.threads = 0;
  CHECK(cpu::pack(nobody, shape, ctx, sel.kept, store, good) == errc::bad_count);
  CHECK(cpu::pack(cpu, shape, ctx, sel.kept, store, good).ok());
}

TEST_CASE("a handle to memory that holds no such store is refused") {
  random_source rng(9);
  const random_layer<bf16> layer(rng, 10, 1, 16, 32);
  const random_selection sel(rng, 10, 1, 2, 1, 0.5);
  const packed_fixture<packed<bf16, 16>> packed(layer.context, sel.kept, 0, false);
  const auto bytes = static_cast<index_t>(packed.memory.size());
  CHECK(packed.store.check().ok());
  CHECK(packed_store<f16, 16>{packed.store.data, bytes}.check() == errc::bad_store);
  CHECK(packed_store<bf16, 8>{packed.store.data, bytes}.check() == errc::bad_store);
  CHECK(packed_store<bf16, 16>{packed.store.data, bytes - 1}.check() == errc::bad_store);
  CHECK(packed_store<bf16, 16>{packed.store.data, 64}.check() == errc::bad_store);
  CHECK(packed_store<bf16, 16>{}.check() == errc::null_view);
}
