#include <rota/cuda/score.cuh>
#include <rota/score/attention_reference.hpp>
#include <rota/score/predictor_reference.hpp>
#include <rota/score/router_reference.hpp>

#include "cuda/device_scores.hpp"
#include "support/relevance_layers.hpp"
#include "support/scored_layer.hpp"

// What holds for every whole-head scorer: lengths in device memory, refusals.

namespace {

using rota::bf16;
using rota::errc;
using rota::index_t;
using rota_test::device_array;
using rota_test::device_context;
using rota_test::gpu;
using rota_test::random_source;

constexpr index_t capacity = 100, length = 70;

template <class Context>
Context shortened(Context c) {
  c.keys.extent[0] = length;
  c.values.extent[0] = length;
  return c;
}

/// The scores of the first `length` tokens of `capacity`, whose number lies in device memory; what
/// lies behind is not written.
void check_shorter(const std::vector<float>& got, const rota::reference::scores& want,
                   index_t kv_heads, index_t groups) {
  for (index_t h = 0; h < kv_heads; ++h)
    for (index_t i = 0; i < capacity * groups; ++i) {
      const float score = got[static_cast<std::size_t>(h * capacity * groups + i)];
      if (i < length * groups)
        CHECK(
            score ==
            doctest::Approx(want[static_cast<std::size_t>(h * length * groups + i)]).epsilon(1e-3));
      else
        CHECK(score != score);
    }
}

template <class Scorer, class Context>
void check_tokens_of_length(Scorer scorer, const typename Scorer::params& p, const Context& host,
                            const Context& shorter) {
  const gpu g;
  device_context<Context> d(host);
  const device_array<std::int32_t> tokens(std::vector<std::int32_t>{length});
  d.c.device_tokens = tokens.data();
  const device_array<float> out(static_cast<std::size_t>(host.kv_heads() * capacity));
  const rota_test::device_workspace ws(
      rota::cuda::score_tokens_workspace_bytes(g.backend(), scorer, p, d.c));
  REQUIRE(score_tokens(g.backend(), scorer, p, d.c,
                       rota::view<float, 2>(out.data(), host.kv_heads(), capacity), ws.get())
              .ok());
  REQUIRE(g.result().ok());
  check_shorter(out.download(), rota::reference::score_tokens(scorer, p, shorter), host.kv_heads(),
                1);
}

template <class Scorer, class Context>
void check_groups_of_length(Scorer scorer, const Context& host, const Context& shorter) {
  const gpu g;
  device_context<Context> d(host);
  const device_array<std::int32_t> tokens(std::vector<std::int32_t>{length});
  d.c.device_tokens = tokens.data();
  const index_t groups = host.d_v() / 8;
  const device_array<float> out(static_cast<std::size_t>(host.kv_heads() * capacity * groups));
  const rota_test::device_workspace ws(
      rota::cuda::score_groups_workspace_bytes(g.backend(), scorer, {}, d.c, 8));
  REQUIRE(score_groups(g.backend(), scorer, {}, d.c, 8,
                       rota::view<float, 3>(out.data(), host.kv_heads(), capacity, groups),
                       ws.get())
              .ok());
  REQUIRE(g.result().ok());
  check_shorter(out.download(), rota::reference::score_groups(scorer, {}, shorter, 8),
                host.kv_heads(), groups);
}

TEST_CASE("whole-head scorers read a length that lies in device memory") {
  random_source rng(1);
  const rota_test::scored_layer<bf16> l(rng, capacity, 2, 2, 24, 16, 5);
  check_tokens_of_length(rota::expected_attention{}, {}, l.c, shortened(l.c));
  check_tokens_of_length(rota::snapkv{}, {}, l.c, shortened(l.c));
  check_tokens_of_length(rota::tova{}, {}, l.c, shortened(l.c));
  check_groups_of_length(rota::attention_mass{}, l.c, shortened(l.c));
  const rota_test::routed_layer<rota::per_head_router> r(rng, capacity, 2, 3, 20);
  auto routed = shortened(r.c);
  routed.layer_hidden.extent[0] = length;
  check_groups_of_length(rota::router<>{}, r.c, routed);
  const rota_test::predicted_layer p(rng, capacity, 2, 3, 20, 4, 6);
  auto predicted = shortened(p.c);
  predicted.hidden.extent[0] = length;
  check_groups_of_length(rota::predictor<>{}, p.c, predicted);
  check_tokens_of_length(rota::token_predictor<>{}, {}, p.c, predicted);
}

template <class Scorer, class Context>
rota::status try_groups(Scorer scorer, const Context& c, index_t workspace = 1 << 20) {
  const gpu g;
  const device_array<float> out(
      static_cast<std::size_t>(c.kv_heads() * c.tokens() * (c.d_v() / 8)));
  const rota_test::device_workspace ws(static_cast<std::size_t>(workspace));
  const rota::status s = score_groups(
      g.backend(), scorer, {}, c, 8,
      rota::view<float, 3>(out.data(), c.kv_heads(), c.tokens(), c.d_v() / 8), ws.get());
  for (const float x : out.download()) CHECK(x != x);  // untouched
  return s;
}

template <class Scorer, class Context>
rota::status try_tokens(Scorer scorer, const typename Scorer::params& p, const Context& c) {
  const gpu g;
  const device_array<float> out(static_cast<std::size_t>(c.kv_heads() * c.tokens()));
  const rota_test::device_workspace ws(1 << 20);
  const rota::status s =
      score_tokens(g.backend(), scorer, p, c,
                   rota::view<float, 2>(out.data(), c.kv_heads(), c.tokens()), ws.get());
  for (const float x : out.download()) CHECK(x != x);  // untouched
  return s;
}

TEST_CASE("whole-head scorers refuse what the host can see") {
  random_source rng(2);
  const rota_test::routed_layer<rota::per_head_router> r(rng, 10, 2, 3, 20);
  const device_context<rota_test::routed_context> routed(r.c);
  const auto route = [&](auto&& spoil) {
    auto c = routed.c;
    spoil(c);
    return try_groups(rota::router<>{}, c);
  };
  CHECK(route([](auto& c) { c.router.extent[0] = 5; }) == errc::bad_shape);
  CHECK(route([](auto& c) { c.layer_hidden.stride[0] = 21; }) == errc::bad_alignment);
  CHECK(route([&](auto& c) { c.layer_hidden.data = r.c.layer_hidden.data; }) == errc::wrong_memory);
  CHECK(route([](auto& c) { c.router_bias.data = nullptr; }) == errc::null_view);
  CHECK(try_groups(rota::router<>{}, routed.c, 64) == errc::workspace_too_small);

  const rota_test::scored_layer<bf16> l(rng, 10, 2, 2, 8, 16, 3);
  const device_context<decltype(l.c)> d(l.c);
  const auto expect = [&](rota::expected_attention::params p, auto&& spoil) {
    auto c = d.c;
    spoil(c);
    return try_tokens(rota::expected_attention{}, p, c);
  };
  const auto as_it_is = [](auto&) {};
  CHECK(expect({0, 4, 0, true, true}, as_it_is) == errc::bad_parameter);
  CHECK(expect({1, -1, 0, true, true}, as_it_is) == errc::bad_parameter);
  CHECK(expect({}, [](auto& c) { c.mean.extent[0] = 3; }) == errc::heads_not_divisible);
  CHECK(expect({}, [&](auto& c) { c.covariance.data = l.c.covariance.data; }) ==
        errc::wrong_memory);
  CHECK(try_tokens(rota::observed_attention{}, {}, d.c) == errc::bad_shape);
  CHECK(try_tokens(rota::snapkv{}, {4, 2, 0}, d.c) == errc::bad_parameter);
  auto many = d.c;
  many.queries.extent[0] = 11;
  CHECK(try_groups(rota::attention_mass{}, many) == errc::bad_shape);
}

}  // namespace
