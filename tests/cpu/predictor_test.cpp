#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <rota/score/predictor_reference.hpp>

#include "support/relevance_layers.hpp"
#include "support/scoring.hpp"

using namespace rota;
using namespace rota_test;

TEST_CASE("the predictor follows its double reference in both forms") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    random_source rng(seed);
    const index_t n = rng.pick<index_t>({1, 2, 63, 64, 65, 200});
    const index_t kv_heads = rng.between(1, 3), groups = rng.between(1, 5);
    const predicted_layer l(rng, n, kv_heads, groups, rng.between(1, 90), rng.between(1, 17),
                            rng.between(1, 20));
    CAPTURE(seed);
    const int threads = static_cast<int>(rng.between(1, 3));
    CHECK(relative_difference(group_scores(predictor<query_blind>{}, {}, l.c, 8, threads),
                              reference::score_groups(predictor<query_blind>{}, {}, l.c, 8)) <
          1e-5);
    CHECK(relative_difference(group_scores(predictor<>{}, {}, l.c, 8, threads),
                              reference::score_groups(predictor<>{}, {}, l.c, 8)) < 1e-5);
    CHECK(relative_difference(token_scores(token_predictor<query_blind>{}, {}, l.c, threads),
                              reference::score_tokens(token_predictor<query_blind>{}, {}, l.c)) <
          1e-5);
    CHECK(relative_difference(token_scores(token_predictor<>{}, {}, l.c, threads),
                              reference::score_tokens(token_predictor<>{}, {}, l.c)) < 1e-5);
  }
}

TEST_CASE("predicted relevance is the same bit for bit for any number of threads") {
  random_source rng(5);
  const predicted_layer l(rng, 300, 2, 4, 48, 16, 8);
  const std::vector<float> one = group_scores(predictor<>{}, {}, l.c, 8, 1);
  CHECK(one == group_scores(predictor<>{}, {}, l.c, 8, 2));
  CHECK(one == group_scores(predictor<>{}, {}, l.c, 8, 4));
}

TEST_CASE("what the query asks for moves the conditioned form alone") {
  random_source rng(9);
  predicted_layer l(rng, 40, 2, 2, 24, 3, 6);
  const auto blind = group_scores(predictor<query_blind>{}, {}, l.c, 8);
  const auto before = group_scores(predictor<>{}, {}, l.c, 8);
  for (float& x : l.query) x = -x;
  CHECK(blind == group_scores(predictor<query_blind>{}, {}, l.c, 8));
  CHECK(before != group_scores(predictor<>{}, {}, l.c, 8));
}

TEST_CASE("the predictor refuses weights and states of other shapes, outputs untouched") {
  struct refusal {
    const char* argument;
    void (*spoil)(predicted_context&);
    bool blind_too;
  };
  const refusal refusals[] = {
      {"hidden", [](predicted_context& c) { c.hidden.extent[0] -= 1; }, true},
      {"hidden", [](predicted_context& c) { c.hidden.data = nullptr; }, true},
      {"linear", [](predicted_context& c) { c.linear.extent[0] -= 1; }, true},
      {"linear", [](predicted_context& c) { c.linear.extent[1] -= 1; }, true},
      {"bias", [](predicted_context& c) { c.bias.extent[0] += 1; }, true},
      {"query_hidden", [](predicted_context& c) { c.query_hidden.extent[0] = 0; }, false},
      {"query_hidden", [](predicted_context& c) { c.query_hidden.extent[1] -= 1; }, false},
      {"token_factor", [](predicted_context& c) { c.token_factor.extent[0] = 0; }, false},
      {"query_factor", [](predicted_context& c) { c.query_factor.extent[0] -= 1; }, false},
      {"mix", [](predicted_context& c) { c.mix.extent[0] += 1; }, false}};
  random_source rng(3);
  predicted_layer l(rng, 70, 2, 2, 24, 3, 6);
  std::vector<float> out(2 * 70 * 2, -77.0f);
  const view<float, 3> groups_out(out.data(), 2, 70, 2);
  const view<float, 2> tokens_out(out.data(), 2, 70);
  const aligned_memory ws(1 << 20);
  for (const refusal& r : refusals) {
    predicted_context c = l.c;
    r.spoil(c);
    CAPTURE(r.argument);
    const auto expect = [&](const status& s) {
      CHECK_FALSE(s.ok());
      CHECK(std::string(s.argument) == r.argument);
    };
    expect(cpu::score_groups({}, predictor<>{}, {}, c, 8, groups_out, ws.workspace()));
    expect(cpu::score_tokens({}, token_predictor<>{}, {}, c, tokens_out, ws.workspace()));
    if (r.blind_too)
      expect(cpu::score_groups({}, predictor<query_blind>{}, {}, c, 8, groups_out, ws.workspace()));
    CHECK(out == std::vector<float>(out.size(), -77.0f));
  }
  // The scores may not lie on what they are made of.
  const view<float, 3> on_hidden(l.hidden.data(), 2, 70, 2);
  CHECK(cpu::score_groups({}, predictor<>{}, {}, l.c, 8, on_hidden, ws.workspace()) ==
        errc::overlapping_memory);
}
