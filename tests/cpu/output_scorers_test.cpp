#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <rota/policy/slice_heads.hpp>
#include <rota/score/output_reference.hpp>

#include "support/projected_layer.hpp"
#include "support/scoring.hpp"

// Scorers that look behind the output projection.

using namespace rota;
using namespace rota_test;

namespace {

template <element E>
void compare_with_references(std::uint64_t seed) {
  random_source rng(seed);
  const index_t n = rng.pick<index_t>({1, 2, 63, 64, 65, 140});
  const projected_layer<E> l(rng, n, rng.between(1, 3), rng.between(1, 3), rng.between(1, 3),
                             rng.between(1, 40));
  CAPTURE(seed);
  CAPTURE(n);
  const int threads = static_cast<int>(rng.between(1, 3));
  CHECK(relative_difference(group_scores(wo_norm{}, {}, l.c, 8, threads),
                            reference::score_groups(wo_norm{}, l.c.weights, l.c, 8)) < 1e-5);
  const attention_mass::params a{0, rng.pick<index_t>({1, 3})};
  CHECK(relative_difference(group_scores(attention_mass_wo{}, a, l.c, 8, threads),
                            reference::score_groups(attention_mass_wo{}, a, l.c.weights, l.c, 8)) <
        3e-5);

  critical<key_norm>::params p;
  p.keep = rng.between(0, n + 3);
  p.first_share = rng.pick<double>({0.0, 0.3, 0.5, 1.0});
  p.epsilon = rng.chance(0.5) ? 0.5f : 1e-4f;
  const auto base = doubles(token_scores(key_norm{}, {}, l.c));
  const auto got = doubles(token_scores(critical<key_norm>{}, p, l.c, threads));
  const auto want = reference::score_tokens(critical<key_norm>{}, p, base, l.c);
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK((got[i] > 1e38) == (want[i] > 1e38));
  const auto late = second_stage(got);
  CHECK(relative_difference(std::vector<float>(late.begin(), late.end()), second_stage(want)) <
        1e-5);
}

}  // namespace

TEST_CASE("scorers behind the output projection agree with their double references") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    compare_with_references<f32>(seed);
    compare_with_references<bf16>(1000 + seed);
  }
}

TEST_CASE("with an orthogonal projection wo_norm is value_norm") {
  random_source rng(3);
  projected_layer<f32> l(rng, 20, 1, 1, 2, 16);
  std::fill(l.matrix.begin(), l.matrix.end(), 0.0f);
  for (std::size_t i = 0; i < 16; ++i) l.matrix[i * 16 + (i * 5) % 16] = i % 2 ? -1.0f : 1.0f;
  REQUIRE(make_output_gram(l.c.weights, view<float, 4>(l.gram.data(), 1, 2, 8, 8)).ok());
  CHECK(relative_difference(group_scores(wo_norm{}, {}, l.c, 8),
                            group_scores(value_norm{}, {}, l.c, 8)) < 1e-6);
}

TEST_CASE("bad projections are refused by name, nothing written") {
  random_source rng(4);
  projected_layer<f32> l(rng, 20, 2, 2, 2, 12);
  std::vector<float> out(80, -77.0f);
  const aligned_memory ws(1 << 20);
  const view<float, 3> groups_out(out.data(), 2, 20, 2);
  const view<float, 2> tokens_out(out.data(), 2, 20);
  const auto check = [&](const status& s, errc code, const char* name) {
    CHECK(s == code);
    CHECK(std::string(s.argument) == name);
    CHECK(out == std::vector<float>(80, -77.0f));
  };
  auto c = l.c;
  c.gram.extent[1] = 1;
  check(score_groups(cpu::backend{}, wo_norm{}, {}, c, 8, groups_out, ws.workspace()),
        errc::bad_shape, "gram");
  check(score_groups(cpu::backend{}, attention_mass_wo{}, {}, c, 8, groups_out, ws.workspace()),
        errc::bad_shape, "gram");
  c = l.c;
  c.gram.data = nullptr;
  check(score_groups(cpu::backend{}, wo_norm{}, {}, c, 8, groups_out, ws.workspace()),
        errc::null_view, "gram");
  c = l.c;
  c.weights.extent[2] = 8;
  const critical<key_norm> scorer;
  check(score_tokens(cpu::backend{}, scorer, {}, c, tokens_out, ws.workspace()), errc::bad_shape,
        "weights");
  c = l.c;
  c.weights.extent[1] = 3;
  check(score_tokens(cpu::backend{}, scorer, {}, c, tokens_out, ws.workspace()),
        errc::heads_not_divisible, "weights");
  critical<key_norm>::params p;
  p.first_share = 1.5;
  check(score_tokens(cpu::backend{}, scorer, p, l.c, tokens_out, ws.workspace()),
        errc::bad_parameter, "first_share");
  p = {};
  p.keep = -1;
  check(score_tokens(cpu::backend{}, scorer, p, l.c, tokens_out, ws.workspace()),
        errc::bad_parameter, "keep");
  p = {};
  p.epsilon = NAN;
  check(score_tokens(cpu::backend{}, scorer, p, l.c, tokens_out, ws.workspace()),
        errc::bad_parameter, "epsilon");
  CHECK(make_output_gram(l.c.weights, view<float, 4>(l.gram.data(), 2, 3, 8, 8)) ==
        errc::bad_shape);
  CHECK(make_output_gram(l.c.weights, view<float, 4>(l.gram.data(), 3, 2, 8, 8)) ==
        errc::heads_not_divisible);
}

TEST_CASE("a re-routed store is scored head by head by its own part of the projection") {
  random_source rng(5);
  const projected_layer<bf16> l(rng, 40, 2, 2, 2, 12);
  const auto whole = token_scores(critical<key_norm>{}, {}, l.c);
  const auto slices = group_scores(wo_norm{}, {}, l.c, 8);
  for (index_t h = 0; h < 2; ++h) {
    auto one = l.c;
    REQUIRE(check_heads(static_cast<const output_projection&>(l.c), 2).ok());
    REQUIRE(check_heads(static_cast<const output_gram&>(l.c), 2).ok());
    slice_heads(static_cast<const output_projection&>(l.c), h, 2, one);
    slice_heads(static_cast<const output_gram&>(l.c), h, 2, one);
    one.keys.data += h * one.keys.stride[1];
    one.values.data += h * one.values.stride[1];
    one.keys.extent[1] = one.values.extent[1] = 1;
    const auto mine = token_scores(critical<key_norm>{}, {}, one);
    CHECK(mine == std::vector<float>(whole.begin() + h * 40, whole.begin() + (h + 1) * 40));
    const auto my_slices = group_scores(wo_norm{}, {}, one, 8);
    CHECK(my_slices == std::vector<float>(slices.begin() + h * 80, slices.begin() + (h + 1) * 80));
  }
  CHECK(check_heads(static_cast<const output_projection&>(l.c), 3) == errc::heads_not_divisible);
  CHECK(check_heads(static_cast<const output_gram&>(l.c), 3) == errc::bad_shape);
}
