#include <memory>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/store/layouts.hpp>

#include "support/masked_dense.hpp"
#include "support/memory.hpp"
#include "support/random_codec.hpp"
#include "support/random_layer.hpp"

// The invariant that everything rests on: packed attention equals dense attention with the dropped
// groups masked, so a store loses what selection dropped and nothing else.

namespace {

using namespace rota;
using namespace rota_test;

struct shape {
  index_t kv_heads, group, d_k, d_v;
  bool means;
  index_t rank;  ///< of a low-rank fill, if there are no means; 0: zero fill
};

/// One sequence of a batch: its rows, its kept set, its packed store with a tail, its queries.
template <class Layout>
struct sequence {
  using E = typename Layout::element_type;
  using store_type = typename Layout::store_type;

  random_layer<E> layer, more;
  random_selection sel;
  random_codec fill;
  aligned_memory memory;
  store_type store;
  std::vector<float> q, out, lse;
  index_t queries;
  masked_sequence<E> reference;

  sequence(random_source& rng, const shape& s, index_t n, index_t tail, index_t n_queries,
           double keep_token, double keep_group)
      : layer(rng, n, s.kv_heads, s.d_k, s.d_v, rng.chance(0.5)),
        more(rng, tail, s.kv_heads, s.d_k, s.d_v),
        sel(rng, n, s.kv_heads, static_cast<int>(s.d_v / Layout::width), keep_token, keep_group),
        fill(rng, s.kv_heads, s.rank, s.d_v),
        memory(static_cast<std::size_t>(packed_bytes(packing(s, tail), sel.kept))),
        q(static_cast<std::size_t>(n_queries * s.kv_heads * s.group * s.d_k)),
        out(static_cast<std::size_t>(n_queries * s.kv_heads * s.group * s.d_v), 7.0f),
        lse(static_cast<std::size_t>(n_queries * s.kv_heads * s.group), 7.0f),
        queries(n_queries) {
    for (float& x : q) x = rng.normal();
    store.data = memory.data();
    store.capacity_bytes = static_cast<index_t>(memory.size());
    const packed_shape how = packing(s, tail);
    const aligned_memory ws(cpu::pack_workspace_bytes(cpu::backend{}, how));
    cpu::pack_options options;
    options.codec = fill.codec;
    REQUIRE(cpu::pack(cpu::backend{}, how, layer.context, sel.kept, store, ws.workspace(), options)
                .ok());
    REQUIRE(cpu::append(cpu::backend{}, store, more.context.keys, more.context.values).ok());
    reference = {&layer.context,       &sel.kept, &more.context,
                 Layout::width,        s.means,   s.rank > 0 ? &fill.codec : nullptr,
                 store.next_position()};
  }

  static packed_shape packing(const shape& s, index_t tail) {
    const std::uint8_t code = s.means ? 1 : s.rank > 0 ? 2 : 0;
    return Layout::shape(s.kv_heads, s.d_k, s.d_v, {tail}, code, s.means, s.rank);
  }

  attend_item<store_type> item(const shape& s) {
    const index_t q_heads = s.kv_heads * s.group;
    return {view<const float, 3>(q.data(), queries, q_heads, s.d_k), &store,
            view<float, 3>(out.data(), queries, q_heads, s.d_v),
            view<float, 2>(lse.data(), queries, q_heads)};
  }

  /// Largest relative error of an output row; log-sum-exps are compared on the way.
  double worst_error(const shape& s, const attend_params& p, double tolerance) {
    double worst = 0;
    std::vector<double> want;
    const index_t q_heads = s.kv_heads * s.group;
    for (index_t hq = 0; hq < q_heads; ++hq) {
      const index_t h = hq / s.group;
      const std::vector<double> means = reference.means(h);
      for (index_t i = 0; i < queries; ++i) {
        const auto row = static_cast<std::size_t>(i * q_heads + hq);
        const auto position = static_cast<position_t>(store.next_position() - queries + i);
        const double want_lse =
            attend_masked_dense(reference, h, q.data() + row * static_cast<std::size_t>(s.d_k),
                                position, p, means, want);
        if (std::isinf(want_lse))
          CHECK(lse[row] == -std::numeric_limits<float>::infinity());
        else
          CHECK(std::fabs(lse[row] - want_lse) <= tolerance * std::max(1.0, std::fabs(want_lse)));
        double difference = 0, size = 0;
        for (std::size_t c = 0; c < want.size(); ++c) {
          const double got = out[row * want.size() + c];
          difference = std::max(difference, std::fabs(got - want[c]));
          size = std::max(size, std::fabs(want[c]));
        }
        worst = std::max(worst, size > 0 ? difference / size : difference);
      }
    }
    return worst;
  }
};

/// One random batch through attend(), compared row by row. Returns the number of sequences.
template <class Layout>
int check_batch(random_source& rng, double tolerance) {
  shape s;
  s.kv_heads = rng.between(1, 3);
  s.group = rng.pick<index_t>({1, 2, 3, 4, 8});
  s.d_k = rng.pick<index_t>({8, 24, 64, 80, 96, 128, 256});
  s.d_v = Layout::width * rng.pick<index_t>({1, 2, 4, 5, 8, 16});
  s.means = rng.chance(0.4);
  s.rank = s.means || rng.chance(0.4) ? 0 : rng.pick<index_t>({1, 4, 8, 17});
  attend_params p;
  p.causal = rng.chance(0.8);
  if (rng.chance(0.3)) p.sliding_window = rng.between(1, 200);
  if (rng.chance(0.2)) p.scale = 0.3f;

  std::vector<std::unique_ptr<sequence<Layout>>> batch;
  std::vector<attend_item<typename Layout::store_type>> items;
  const index_t sequences = rng.between(1, 3);
  for (index_t i = 0; i < sequences; ++i) {
    const index_t n = rng.pick<index_t>({0, 1, 2, 17, 64, 127, 128, 129, 200});
    const index_t tail = rng.pick<index_t>({0, 0, 1, 3, 64, 65});
    const double keep_token = rng.pick<double>({0, 0.1, 0.5, 1});
    const double keep_group = rng.pick<double>({0, 0.25, 0.5, 0.9, 1});
    batch.push_back(std::make_unique<sequence<Layout>>(
        rng, s, n, tail, rng.pick<index_t>({1, 1, 2, 5, 16}), keep_token, keep_group));
    items.push_back(batch.back()->item(s));
  }
  const cpu::backend cpu;
  const std::span<const attend_item<typename Layout::store_type>> span(items);
  const aligned_memory ws(cpu::attend_workspace_bytes(cpu, span, p));
  const status st = cpu::attend(cpu, span, p, ws.workspace());
  REQUIRE_MESSAGE(st.ok(), st.what(), " ", st.argument);
  if (s.rank > 0) tolerance *= 2;  // what is rounded, a residual, may be larger than the value
  for (auto& seq : batch) CHECK(seq->worst_error(s, p, tolerance) <= tolerance);
  return static_cast<int>(sequences);
}

template <class Layout>
int check_batches(std::uint64_t seed, int rounds, double tolerance) {
  random_source rng(seed);
  int sequences = 0;
  for (int i = 0; i < rounds; ++i) {
    CAPTURE(seed);
    CAPTURE(i);
    sequences += check_batch<Layout>(rng, tolerance);
  }
  return sequences;
}

}  // namespace

// Sanitized builds compile and run slowly: they take one layout of each kind of kernel.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROTA_TEST_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ROTA_TEST_SANITIZED
#endif
#endif

TEST_CASE("packed attention equals dense attention with the dropped groups masked") {
  constexpr double exact = 1e-5, rounded = 4e-3;
#ifdef ROTA_TEST_SANITIZED
  CHECK(check_batches<packed<f32, 12, value_order::token_major>>(4, 20, exact) > 0);
  CHECK(check_batches<packed<bf16, 16>>(6, 20, rounded) > 0);
#else
  int n = 0;
  n += check_batches<packed<f32, 4>>(1, 80, exact);
  n += check_batches<packed<f32, 16>>(2, 80, exact);
  n += check_batches<packed<f32, 12, value_order::token_major>>(4, 80, exact);
  n += check_batches<packed<bf16, 8>>(5, 80, rounded);
  n += check_batches<packed<bf16, 16>>(6, 80, rounded);
  n += check_batches<packed<bf16, 16, value_order::group_major, 256>>(7, 40, rounded);
  n += check_batches<packed<bf16, 16, value_order::token_major, 64>>(8, 80, rounded);
  n += check_batches<packed<bf16, 24>>(9, 40, rounded);
  n += check_batches<packed<f16, 16>>(10, 60, rounded);
  CHECK(n >= 1000);
#endif
}
