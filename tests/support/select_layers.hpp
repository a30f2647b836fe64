#pragma once

#include <cmath>
#include <deque>
#include <limits>
#include <vector>

#include <rota/select/reference.hpp>

#include "support/random.hpp"

namespace rota_test {

using rota::index_t;

/// One layer's problem with its scores and the memory for its selection.
struct select_layer_memory {
  std::vector<float> token_scores, group_scores;
  std::vector<rota::group_mask> available, masks;
  std::vector<std::int32_t> indices, counts;
  std::vector<std::uint8_t> types;  ///< 0, 1 or 2, in no order
  std::vector<rota::position_t> positions;
  rota::select_problem problem;
  rota::layer_scores scores;
  rota::selection out;

  static constexpr std::int32_t untouched = -12345;

  select_layer_memory(index_t n, index_t kv_heads, int groups) {
    const auto rows = static_cast<std::size_t>(kv_heads * n);
    token_scores.resize(rows);
    group_scores.resize(rows * static_cast<std::size_t>(groups));
    available.resize(rows);
    masks.resize(rows);
    indices.resize(rows);
    for (index_t i = 0; i < n; ++i) types.push_back(static_cast<std::uint8_t>(i * i % 7 % 3));
    counts.resize(static_cast<std::size_t>(kv_heads));
    positions.resize(static_cast<std::size_t>(n));
    problem.tokens = n;
    problem.kv_heads = kv_heads;
    problem.groups = groups;
    scores.tokens = rota::view<float, 2>(token_scores.data(), kv_heads, n);
    scores.groups = rota::view<float, 3>(group_scores.data(), kv_heads, n, groups);
    out.indices = rota::view<std::int32_t, 2>(indices.data(), kv_heads, n);
    out.masks = rota::view<rota::group_mask, 2>(masks.data(), kv_heads, n);
    out.counts = rota::view<std::int32_t, 1>(counts.data(), kv_heads);
    reset();
  }
  select_layer_memory(const select_layer_memory&) = delete;
  select_layer_memory& operator=(const select_layer_memory&) = delete;

  /// Gives the tokens positions with gaps.
  void space_out(random_source& rng) {
    rota::position_t next = 0;
    for (rota::position_t& p : positions)
      p = next += static_cast<rota::position_t>(rng.between(1, 3));
    problem.positions = rota::view<const rota::position_t, 1>(positions.data(), problem.tokens);
  }

  void reset() {
    std::fill(indices.begin(), indices.end(), untouched);
    std::fill(counts.begin(), counts.end(), untouched);
    std::fill(masks.begin(), masks.end(), rota::group_mask{0x5a5a});
  }
  bool is_untouched() const {
    for (std::int32_t x : indices)
      if (x != untouched) return false;
    for (std::int32_t x : counts)
      if (x != untouched) return false;
    for (rota::group_mask x : masks)
      if (x != 0x5a5a) return false;
    return true;
  }
  rota::reference::layer_selection selected() const {
    rota::reference::layer_selection heads;
    for (index_t h = 0; h < problem.kv_heads; ++h) {
      heads.emplace_back();
      for (index_t i = 0; i < out.counts(h); ++i)
        heads.back().push_back({out.indices(h, i), out.masks(h, i)});
    }
    return heads;
  }
};

/// A span of layers, as select() takes them.
struct select_layers {
  std::deque<select_layer_memory> layers;

  std::vector<rota::select_problem> problems() const {
    std::vector<rota::select_problem> all;
    for (const auto& l : layers) all.push_back(l.problem);
    return all;
  }
  std::vector<rota::layer_scores> scores() const {
    std::vector<rota::layer_scores> all;
    for (const auto& l : layers) all.push_back(l.scores);
    return all;
  }
  std::vector<rota::selection> outputs() const {
    std::vector<rota::selection> all;
    for (const auto& l : layers) all.push_back(l.out);
    return all;
  }
};

/// Scores of a few kinds, chosen to collide: ordinary ones, a handful of values, all equal, and
/// the special ones.
inline void fill_scores(random_source& rng, std::vector<float>& out) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> few = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 1e-40f};
  const std::vector<float> special = {NAN, -NAN, inf, -inf, 0.0f, -0.0f, 3e38f, -3e38f, 1.0f};
  const auto kind = rng.below(5);
  for (float& x : out) {
    x = rng.normal();
    if (kind == 1) x = rng.pick(few);
    if (kind == 2) x = 0.25f;
    if (kind == 3) x = rng.pick(special);
    if (kind == 4 && rng.chance(0.5)) x = rng.pick(special);
  }
}

/// Random layers of different lengths, availability, protection.
inline void fill_span(random_source& rng, select_layers& span, index_t layers, index_t longest) {
  const index_t kv_heads = rng.between(1, 3);
  const int groups = static_cast<int>(rng.pick<index_t>({1, 2, 4, 7, 8, 16}));
  for (index_t l = 0; l < layers; ++l) {
    auto& m =
        span.layers.emplace_back(rng.chance(0.1) ? 0 : rng.between(1, longest), kv_heads, groups);
    fill_scores(rng, m.token_scores);
    fill_scores(rng, m.group_scores);
    m.problem.protect = {rng.chance(0.5) ? rng.below(5) : 0, rng.chance(0.5) ? rng.below(9) : 0};
    if (rng.chance(0.05)) m.problem.protect = {longest, INT64_MAX};
    m.problem.drop_empty = rng.chance(0.4);
    if (rng.chance(0.3)) {
      m.problem.sliding_window = rng.chance(0.1) ? INT64_MAX : rng.between(1, longest + 2);
      if (rng.chance(0.5)) m.space_out(rng);
    }
    m.problem.place = {l, layers + rng.below(3)};
    if (l % 2 == 1) {  // else these are all heads of their layer
      m.problem.first_head = l;
      m.problem.layer_heads = kv_heads + l + 1;
    }
    if (l % 2 == 0)  // else all tokens are of type 0
      m.problem.types = rota::view<const std::uint8_t, 1>(m.types.data(), m.problem.tokens);
    if (rng.chance(0.3)) {
      for (rota::group_mask& x : m.available) x = static_cast<rota::group_mask>(rng.bits());
      m.problem.available =
          rota::view<const rota::group_mask, 2>(m.available.data(), kv_heads, m.problem.tokens);
    }
  }
}

}  // namespace rota_test
