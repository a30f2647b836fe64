#pragma once

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/score.hpp>
#include <rota/cpu/thread_pool.hpp>

#include "support/memory.hpp"

namespace rota_test {

/// Scores of all tokens, [kv_heads, tokens], by a workspace of exactly the bytes asked for.
template <class Scorer, class Context>
std::vector<float> token_scores(Scorer scorer, const typename Scorer::params& params,
                                const Context& c, int threads = 1) {
  rota::cpu::thread_pool pool(threads);
  const auto b = pool.get_backend();
  std::vector<float> out(static_cast<std::size_t>(c.kv_heads() * c.tokens()), -77.0f);
  const aligned_memory ws(rota::cpu::score_tokens_workspace_bytes(b, scorer, params, c));
  const rota::status s =
      score_tokens(b, scorer, params, c, rota::view<float, 2>(out.data(), c.kv_heads(), c.tokens()),
                   ws.workspace());
  INFO(s.what() << ": " << s.argument);
  CHECK(s.ok());
  return out;
}

/// Scores of all groups, [kv_heads, tokens, d_v / width].
template <class Scorer, class Context>
std::vector<float> group_scores(Scorer scorer, const typename Scorer::params& params,
                                const Context& c, int width, int threads = 1) {
  rota::cpu::thread_pool pool(threads);
  const auto b = pool.get_backend();
  const rota::index_t groups = c.d_v() / width;
  std::vector<float> out(static_cast<std::size_t>(c.kv_heads() * c.tokens() * groups), -77.0f);
  const aligned_memory ws(rota::cpu::score_groups_workspace_bytes(b, scorer, params, c, width));
  const rota::status s = score_groups(
      b, scorer, params, c, width,
      rota::view<float, 3>(out.data(), c.kv_heads(), c.tokens(), groups), ws.workspace());
  INFO(s.what() << ": " << s.argument);
  CHECK(s.ok());
  return out;
}

/// max |got - want| over max |want|.
template <class T>
double relative_difference(const std::vector<float>& got, const std::vector<T>& want) {
  REQUIRE(got.size() == want.size());
  double worst = 0, top = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(double{got[i]} - double{want[i]}));
    top = std::max(top, std::abs(double{want[i]}));
    if (std::isnan(got[i])) return NAN;
  }
  return top > 0 ? worst / top : worst;
}

}  // namespace rota_test
