#include <rota/cuda/score.cuh>
#include <rota/score/predictor_reference.hpp>
#include <rota/score/role_router_reference.hpp>
#include <rota/score/router_reference.hpp>

#include "cuda/device_scores.hpp"
#include "support/relevance_layers.hpp"
#include "support/scoring.hpp"

// Scorers that read hidden states: products of floats on the matrix unit, which has bf16 only.

namespace {

using rota::index_t;
using rota_test::device_group_scores;
using rota_test::for_each_schedule;
using rota_test::gpu;
using rota_test::random_source;
using rota_test::relative_difference;

template <class Form>
void compare_router(std::uint64_t seed, index_t n, index_t groups, index_t d) {
  random_source rng(seed);
  const rota_test::routed_layer<Form> l(rng, n, 2, groups, d);
  const auto want = rota::reference::score_groups(rota::router<Form>{}, {}, l.c, 8);
  for_each_schedule([&](std::uint64_t schedule) {
    CAPTURE(Form::name);
    CHECK(relative_difference(device_group_scores(schedule, rota::router<Form>{}, {}, l.c, 8),
                              want) < 2e-5);
  });
}

TEST_CASE("routers follow their double reference") {
  compare_router<rota::per_head_router>(1, 65, 3, 72);
  compare_router<rota::per_head_router>(2, 1, 16, 4);
  compare_router<rota::shared_router>(3, 100, 5, 132);
  compare_router<rota::hierarchical_router>(4, 64, 4, 64);
}

TEST_CASE("the role-conditioned router follows its double reference") {
  random_source rng(5);
  const rota_test::role_layer l(rng, 70, 2, 5, 68);
  for (const float share : {0.1f, 3.0f}) {
    const rota::role_router<5>::params p{share};
    const auto want = rota::reference::score_groups(rota::role_router<5>{}, p, l.roles, 8);
    for_each_schedule([&](std::uint64_t schedule) {
      CHECK(relative_difference(
                device_group_scores(schedule, rota::role_router<5>{}, p, l.roles, 8), want) < 2e-5);
    });
  }
}

template <class Form>
void compare_predictor(std::uint64_t schedule, const rota_test::predicted_layer& l) {
  CHECK(relative_difference(device_group_scores(schedule, rota::predictor<Form>{}, {}, l.c, 8),
                            rota::reference::score_groups(rota::predictor<Form>{}, {}, l.c, 8)) <
        2e-5);
  CHECK(relative_difference(
            rota_test::device_token_scores(schedule, rota::token_predictor<Form>{}, {}, l.c),
            rota::reference::score_tokens(rota::token_predictor<Form>{}, {}, l.c)) < 2e-5);
}

TEST_CASE("the predictor follows its double reference in both forms") {
  random_source rng(6);
  const rota_test::predicted_layer one(rng, 65, 2, 5, 72, 17, 9);
  const rota_test::predicted_layer many(rng, 40, 3, 4, 132, 70, 66);
  const rota_test::predicted_layer least(rng, 1, 1, 1, 4, 1, 1);
  for_each_schedule([&](std::uint64_t schedule) {
    compare_predictor<rota::query_blind>(schedule, one);
    compare_predictor<rota::query_conditioned>(schedule, one);
  });
  compare_predictor<rota::query_conditioned>(1, many);
  compare_predictor<rota::query_blind>(2, least);
  compare_predictor<rota::query_conditioned>(3, least);
}

#if !defined(__CUDACC__)
TEST_CASE("products read shared memory without conflicts of banks") {
  random_source rng(7);
  const rota_test::routed_layer<rota::per_head_router> l(rng, 70, 2, 5, 132);
  const gpu g;
  const rota_test::device_context<rota_test::routed_context> d(l.c);
  const rota_test::device_array<float> out(2 * 70 * 5);
  const rota_test::device_workspace ws(
      rota::cuda::score_groups_workspace_bytes(g.backend(), rota::router<>{}, {}, d.c, 8));
  REQUIRE(score_groups(g.backend(), rota::router<>{}, {}, d.c, 8,
                       rota::view<float, 3>(out.data(), 2, 70, 5), ws.get())
              .ok());
  REQUIRE(g.result().ok());
  CHECK(g.emulator().banks().phases > 0);
  CHECK(g.emulator().banks().wavefronts == g.emulator().banks().phases);
}
#endif

}  // namespace
