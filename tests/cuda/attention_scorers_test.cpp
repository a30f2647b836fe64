#include <rota/cuda/score.cuh>
#include <rota/score/attention_reference.hpp>

#include "cuda/device_scores.hpp"
#include "support/scored_layer.hpp"
#include "support/scoring.hpp"

// Scorers that sum attention, and Expected Attention.

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::for_each_schedule;
using rota_test::random_source;
using rota_test::relative_difference;
using rota_test::scored_layer;

template <class Scorer, class Layer>
void compare(std::uint64_t schedule, Scorer scorer, const typename Scorer::params& p,
             const Layer& l) {
  CHECK(relative_difference(rota_test::device_token_scores(schedule, scorer, p, l.c),
                            rota::reference::score_tokens(scorer, p, l.c)) < 1e-4);
}

template <class Layer>
void compare_mass(std::uint64_t schedule, const rota::attention_mass::params& p, const Layer& l) {
  CHECK(relative_difference(
            rota_test::device_group_scores(schedule, rota::attention_mass{}, p, l.c, 8),
            rota::reference::score_groups(rota::attention_mass{}, p, l.c, 8)) < 1e-4);
}

TEST_CASE("scorers that sum attention follow their double references") {
  random_source rng(1);
  const scored_layer<bf16> window(rng, 150, 2, 4, 64, 32, 20);
  const scored_layer<f16> odd(rng, 65, 3, 3, 24, 16, 3);
  const scored_layer<float> none(rng, 10, 2, 1, 8, 8, 0);
  for_each_schedule([&](std::uint64_t schedule) {
    compare(schedule, rota::tova{}, {}, window);
    compare(schedule, rota::snapkv{}, {16, 5, 0}, window);
    compare(schedule, rota::snapkv{}, {64, 1, 0.2f}, odd);
    compare(schedule, rota::snapkv{}, {}, none);
    compare(schedule, rota::tova{}, {}, none);
    compare_mass(schedule, {0, 1}, window);
    compare_mass(schedule, {0.3f, 7}, odd);
  });
}

TEST_CASE("attention of all queries, more tokens than a chunk") {
  random_source rng(2);
  const scored_layer<bf16> all(rng, 70, 2, 2, 16, 8, 70);
  const scored_layer<bf16> longer(rng, 600, 1, 1, 8, 8, 2);
  compare(1, rota::observed_attention{}, {}, all);
  compare(2, rota::observed_attention{}, {0.4f}, all);
  compare(3, rota::tova{}, {}, longer);
}

/// Queries of their own positions and element type, under a sliding window.
template <class Q>
void compare_by_position(std::uint64_t seed, index_t n, index_t rows, index_t window) {
  random_source rng(seed);
  const scored_layer<bf16> l(rng, n, 2, 2, 24, 16, 0, true);
  std::vector<Q> queries;
  for (index_t i = 0; i < rows * 4 * 24; ++i) queries.push_back(Q(rng.normal()));
  std::vector<rota::position_t> positions;
  auto at = static_cast<rota::position_t>(rng.below(n));
  for (index_t i = 0; i < rows; ++i)
    positions.push_back(at += static_cast<rota::position_t>(rng.between(1, 3)));
  struct {
    rota::context<bf16, rota::window_queries_of<Q>> c;
  } own;
  static_cast<rota::context_views<bf16>&>(own.c) = l.c;
  own.c.queries = rota::view<const Q, 3>(queries.data(), rows, 4, 24);
  own.c.query_positions = rota::view<const rota::position_t, 1>(positions.data(), rows);
  own.c.sliding_window = window;
  compare(seed, rota::tova{}, {}, own);
  compare(seed, rota::snapkv{}, {16, 5, 0}, own);
  compare_mass(seed, {0, 3}, own);
}

TEST_CASE("queries see by position and sliding window, whatever their element type") {
  compare_by_position<float>(11, 150, 20, 0);
  compare_by_position<bf16>(12, 150, 20, 50);
  compare_by_position<f16>(13, 10, 20, 7);  // more queries than tokens
  compare_by_position<bf16>(14, 150, 5, INT64_MAX);
  random_source rng(15);
  scored_layer<bf16> all(rng, 90, 2, 2, 16, 8, 90, true);
  all.c.sliding_window = 30;
  compare(1, rota::observed_attention{}, {}, all);
  compare(2, rota::snapkv{}, {16, 5, 0}, all);
}

TEST_CASE("Expected Attention: pairs, channels that are not rotated, a sliding window") {
  random_source rng(16);
  scored_layer<bf16> l(rng, 130, 2, 2, 24, 16, 0, true);
  l.c.pairing = rota::rope_pairing::interleaved;
  compare(1, rota::expected_attention{}, {}, l);
  l.c.rotary_channels = 10;
  l.c.inverse_frequencies.extent[0] = 5;
  l.c.sliding_window = 60;
  compare(2, rota::expected_attention{}, {}, l);
  l.c.pairing = rota::rope_pairing::halves;
  compare(3, rota::expected_attention{}, {16, 0, 0, true, true}, l);
}

TEST_CASE("Expected Attention follows its double reference") {
  random_source rng(3);
  const scored_layer<bf16> usual(rng, 130, 2, 4, 64, 32, 0, true);
  const scored_layer<f16> odd(rng, 65, 2, 1, 72, 16, 0);
  const scored_layer<float> few(rng, 3, 1, 2, 8, 8, 0);
  for_each_schedule([&](std::uint64_t schedule) {
    const rota::expected_attention e;
    compare(schedule, e, {}, usual);
    compare(schedule, e, {7, 0, 0.01f, true, true}, odd);
    compare(schedule, e, {1, 2, 0, false, false}, odd);
    compare(schedule, e, {512, 5, 0, true, true}, few);
  });
}

}  // namespace
