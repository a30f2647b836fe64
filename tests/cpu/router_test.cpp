#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <rota/score/role_router_reference.hpp>
#include <rota/score/router_reference.hpp>

#include "support/relevance_layers.hpp"
#include "support/scoring.hpp"

using namespace rota;
using namespace rota_test;

namespace {

template <router_form Form>
void compare_with_reference() {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    random_source rng(seed);
    CAPTURE(seed);
    CAPTURE(Form::name);
    const index_t n = rng.pick<index_t>({1, 63, 64, 65, 200});
    const routed_layer<Form> l(rng, n, rng.between(1, 3), rng.between(1, 5), rng.between(1, 90));
    const auto expected = reference::score_groups(router<Form>{}, {}, l.c, 8);
    const auto one = group_scores(router<Form>{}, {}, l.c, 8, 1);
    CHECK(relative_difference(one, expected) < 1e-5);
    CHECK(one == group_scores(router<Form>{}, {}, l.c, 8, 3));
  }
}

}  // namespace

TEST_CASE("a role-conditioned router follows its double reference, for any number of threads") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    random_source rng(seed);
    CAPTURE(seed);
    const index_t n = rng.pick<index_t>({1, 63, 64, 65, 200});
    const role_layer l(rng, n, rng.between(1, 3), rng.between(1, 5), rng.between(1, 90));
    const role_router<5>::params p{rng.pick<float>({0, 0.1f, 3})};
    const auto expected = reference::score_groups(role_router<5>{}, p, l.roles, 8);
    const auto one = group_scores(role_router<5>{}, p, l.roles, 8, 1);
    CHECK(relative_difference(one, expected) < 1e-5);
    CHECK(one == group_scores(role_router<5>{}, p, l.roles, 8, 3));
    if (p.share == 0) CHECK(one == group_scores(router<>{}, {}, l.c, 8, 1));
  }
}

TEST_CASE("a role-conditioned router refuses what does not fit, outputs untouched") {
  struct refusal {
    const char* argument;
    void (*spoil)(role_context&, role_router<5>::params&);
  };
  const refusal refusals[] = {
      {"share", [](role_context&, auto& p) { p.share = INFINITY; }},
      {"router", [](role_context& c, auto&) { c.router.extent[0] += 1; }},
      {"role_router", [](role_context& c, auto&) { c.role_router.extent[0] = 4; }},
      {"role_router", [](role_context& c, auto&) { c.role_router.extent[1] -= 1; }},
      {"role_bias", [](role_context& c, auto&) { c.role_bias.extent[0] = 6; }},
      {"role_groups", [](role_context& c, auto&) { c.role_groups.extent[0] -= 1; }},
      {"role_groups", [](role_context& c, auto&) { c.role_groups.data = nullptr; }}};
  random_source rng(4);
  const role_layer l(rng, 70, 2, 2, 24);
  std::vector<float> out(2 * 70 * 2, -77.0f);
  const view<float, 3> scores(out.data(), 2, 70, 2);
  const aligned_memory ws(1 << 20);
  for (const refusal& r : refusals) {
    role_context c = l.roles;
    role_router<5>::params p;
    r.spoil(c, p);
    CAPTURE(r.argument);
    const status s = cpu::score_groups({}, role_router<5>{}, p, c, 8, scores, ws.workspace());
    CHECK_FALSE(s.ok());
    CHECK(std::string(s.argument) == r.argument);
    CHECK(out == std::vector<float>(out.size(), -77.0f));
  }
}

TEST_CASE("a router follows its double reference in every form, for any number of threads") {
  compare_with_reference<per_head_router>();
  compare_with_reference<shared_router>();
  compare_with_reference<hierarchical_router>();
}

TEST_CASE("a shared router says the same of all kv heads") {
  random_source rng(3);
  const routed_layer<shared_router> l(rng, 10, 3, 4, 20);
  const std::vector<float> scores = group_scores(router<shared_router>{}, {}, l.c, 8);
  for (std::size_t i = 0; i < 40; ++i) {
    CHECK(scores[i] == scores[40 + i]);
    CHECK(scores[i] == scores[80 + i]);
  }
}

TEST_CASE("a router refuses weights and states of other shapes, outputs untouched") {
  struct refusal {
    const char* argument;
    void (*spoil)(routed_context&);
  };
  const refusal refusals[] = {
      {"layer_hidden", [](routed_context& c) { c.layer_hidden.extent[0] -= 1; }},
      {"layer_hidden", [](routed_context& c) { c.layer_hidden.data = nullptr; }},
      {"router", [](routed_context& c) { c.router.extent[0] += 1; }},
      {"router", [](routed_context& c) { c.router.extent[1] -= 1; }},
      {"router_bias", [](routed_context& c) { c.router_bias.extent[0] -= 1; }}};
  random_source rng(4);
  const routed_layer<per_head_router> l(rng, 70, 2, 2, 24);
  std::vector<float> out(2 * 70 * 2, -77.0f);
  const view<float, 3> scores(out.data(), 2, 70, 2);
  const aligned_memory ws(1 << 20);
  for (const refusal& r : refusals) {
    routed_context c = l.c;
    r.spoil(c);
    CAPTURE(r.argument);
    const status s = cpu::score_groups({}, router<>{}, {}, c, 8, scores, ws.workspace());
    CHECK_FALSE(s.ok());
    CHECK(std::string(s.argument) == r.argument);
    CHECK(out == std::vector<float>(out.size(), -77.0f));
  }
}
