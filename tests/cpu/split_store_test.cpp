#include <doctest/doctest.h>

#include <rota/attend/merge.hpp>
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/memory.hpp"
#include "support/random_layer.hpp"

// Context parallelism: a selection cut in two stores gives, merged by log-sum-exp, what one store
// of the whole gives; the stand-ins of dropped groups are those of the whole.

namespace {

using namespace rota;
using namespace rota_test;

using layout = packed<f32, 8>;
const cpu::backend cpu_backend;

struct packed_part {
  aligned_memory memory;
  layout::store_type store;

  packed_part(const context<f32>& ctx, const selection& kept, const cpu::pack_options& options)
      : memory(static_cast<std::size_t>(packed_bytes(shape(ctx), kept))) {
    store.data = memory.data();
    store.capacity_bytes = static_cast<index_t>(memory.size());
    const aligned_memory ws(cpu::pack_workspace_bytes(cpu_backend, shape(ctx), options));
    REQUIRE(cpu::pack(cpu_backend, shape(ctx), ctx, kept, store, ws.workspace(), options).ok());
  }
  static packed_shape shape(const context<f32>& ctx) {
    return layout::shape(ctx.kv_heads(), ctx.d_k(), ctx.d_v(), {0}, mean_fill::code, true);
  }
};

struct result {
  std::vector<float> out, lse;
};

result attend_all(const layout::store_type& store, const std::vector<float>& q, index_t n,
                  index_t q_heads) {
  result r{std::vector<float>(static_cast<std::size_t>(n * q_heads * store.d_v())),
           std::vector<float>(static_cast<std::size_t>(n * q_heads))};
  const attend_item<layout::store_type> item{view(q.data(), n, q_heads, store.d_k()), &store,
                                             view(r.out.data(), n, q_heads, store.d_v()),
                                             view(r.lse.data(), n, q_heads)};
  const std::span<const attend_item<layout::store_type>> batch(&item, 1);
  const aligned_memory ws(cpu::attend_workspace_bytes(cpu_backend, batch, {}));
  REQUIRE(cpu::attend(cpu_backend, batch, {}, ws.workspace()).ok());
  return r;
}

/// The entries of `all` whose indices lie in [low, high).
void take_range(const selection& all, index_t low, index_t high, const selection& part) {
  for (index_t h = 0; h < all.kv_heads(); ++h) {
    std::int32_t count = 0;
    for (index_t i = 0; i < all.counts(h); ++i) {
      if (all.indices(h, i) < low || all.indices(h, i) >= high) continue;
      part.indices(h, count) = all.indices(h, i);
      part.masks(h, count++) = all.masks(h, i);
    }
    part.counts(h) = count;
  }
}

}  // namespace

TEST_CASE("two stores of one selection merge to the whole, fills included") {
  random_source rng(1);
  for (int round = 0; round < 20; ++round) {
    const index_t n = rng.between(1, 400), heads = 2, q_heads = 4, queries = rng.between(1, 3);
    const random_layer<f32> layer(rng, n, heads, 16, 32);
    random_selection all(rng, n, heads, 4, 0.6, 0.4);
    random_selection left(rng, n, heads, 4, 0, 0), right(rng, n, heads, 4, 0, 0);
    const index_t cut = rng.between(0, n);
    take_range(all.kept, 0, cut, left.kept);
    take_range(all.kept, cut, n, right.kept);

    const packed_part whole(layer.context, all.kept, {});
    cpu::pack_options shared;
    shared.means = view<const float, 2>(whole.store.means(0), heads, 32);
    const packed_part a(layer.context, left.kept, shared);
    const packed_part b(layer.context, right.kept, shared);

    std::vector<float> q(static_cast<std::size_t>(queries * q_heads * 16));
    for (float& x : q) x = rng.normal();
    const result want = attend_all(whole.store, q, queries, q_heads);
    const result ra = attend_all(a.store, q, queries, q_heads);
    const result rb = attend_all(b.store, q, queries, q_heads);
    result got = ra;
    const auto partial = [&](const result& r) {
      return partial_attention<const float>{view(r.out.data(), queries, q_heads, 32),
                                            view(r.lse.data(), queries, q_heads)};
    };
    REQUIRE(
        merge(partial(got), partial(rb),
              {view(got.out.data(), queries, q_heads, 32), view(got.lse.data(), queries, q_heads)})
            .ok());
    for (std::size_t row = 0; row < want.lse.size(); ++row) {
      if (std::isinf(want.lse[row]))
        CHECK(got.lse[row] == want.lse[row]);
      else
        CHECK(got.lse[row] == doctest::Approx(want.lse[row]).epsilon(1e-5));
      for (std::size_t c = 0; c < 32; ++c) {
        const std::size_t at = row * 32 + c;
        CHECK(std::fabs(got.out[at] - want.out[at]) < 2e-5);
      }
    }
  }
}
