#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <rota/score/predictor_reference.hpp>

#include "support/random_layer.hpp"
#include "support/scoring.hpp"

using namespace rota;
using namespace rota_test;

namespace {

using predicted_context =
    context<bf16, split_states, linear_relevance, query_states, bilinear_relevance>;

/// A layer, hidden states of its tokens and of the query, and random weights.
struct predicted_layer {
  static constexpr int width = 8;
  random_layer<bf16> plain;
  std::vector<float> hidden, query, linear, bias, token_factor, query_factor, mix;
  predicted_context c;

  predicted_layer(random_source& rng, index_t n, index_t kv_heads, index_t groups, index_t d,
                  index_t queries, index_t rank)
      : plain(rng, n, kv_heads, 16, groups * width) {
    c.keys = plain.context.keys;
    c.values = plain.context.values;
    const float unit = 1 / std::sqrt(static_cast<float>(d));
    c.hidden = matrix(rng, hidden, n, d, 1);
    c.query_hidden = matrix(rng, query, queries, d, 1);
    c.linear = matrix(rng, linear, kv_heads * groups, d, unit);
    bias.resize(static_cast<std::size_t>(kv_heads * groups));
    for (float& x : bias) x = rng.normal();
    c.bias = view<const float, 1>(bias.data(), kv_heads * groups);
    c.token_factor = matrix(rng, token_factor, rank, d, unit);
    c.query_factor = matrix(rng, query_factor, rank, d, unit);
    c.mix = matrix(rng, mix, kv_heads, rank, 1);
  }
  predicted_layer(const predicted_layer&) = delete;
  predicted_layer& operator=(const predicted_layer&) = delete;

  static view<const float, 2> matrix(random_source& rng, std::vector<float>& x, index_t rows,
                                     index_t columns, float scale) {
    x.resize(static_cast<std::size_t>(rows * columns));
    for (float& v : x) v = scale * rng.normal();
    return view<const float, 2>(x.data(), rows, columns);
  }
};

}  // namespace

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
