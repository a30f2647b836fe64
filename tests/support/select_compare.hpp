#pragma once

#include <string>

#include <doctest/doctest.h>

#include "support/select_params.hpp"
#include "support/selecting.hpp"

namespace rota_test {

struct tally {
  int same = 0, too_small = 0;
};

/// A random span of layers, selected by the CPU and by sorting.
template <class Tokens, class Groups>
void compare(std::uint64_t seed, index_t longest, tally& seen) {
  using namespace rota;
  random_source rng(seed);
  select_span span;
  fill_span(rng, span, rng.between(1, 4), longest);
  const auto tp = random_params<Tokens>(rng, longest);
  const auto gp = random_params<Groups>(rng, longest);
  std::vector<reference::layer_selection> want;
  const auto problems = span.problems();
  const auto scores = span.scores();
  const status expected = reference::select<Tokens, Groups>(problems, tp, gp, scores, want);
  const status got =
      span.run<Tokens, Groups>(tp, gp, static_cast<int>(rng.pick<index_t>({1, 2, 3, 5})));
  CAPTURE(seed);
  REQUIRE(got.code == expected.code);
  REQUIRE(std::string(got.argument) == expected.argument);
  for (std::size_t l = 0; l < span.layers.size(); ++l) {
    if (got.ok())
      REQUIRE(span.layers[l].selected() == want[l]);
    else
      REQUIRE(span.layers[l].is_untouched());
  }
  ++(got.ok() ? seen.same : seen.too_small);
}

}  // namespace rota_test
