#include <doctest/doctest.h>

#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/pyramid.hpp>
#include <rota/score/key_norm.hpp>

#include "support/golden.hpp"
#include "support/selecting.hpp"

// Kept sets and counts that kvpress gave (tests/goldens/README.md) against ours: equal.

using namespace rota;
using namespace rota_test;

TEST_CASE("head_adaptive keeps what AdaKV keeps") {
  const golden_file golden("kvpress/budgets.safetensors");
  int cases = 0;
  for (;; ++cases) {
    const std::string name = "adakv." + std::to_string(cases);
    if (!golden.has(name + ".scores")) break;
    CAPTURE(name);
    const auto shape = golden.shape(name + ".scores");
    select_span span;
    auto& layer = span.layers.emplace_back(shape[1], shape[0], 1);
    const auto scores = golden.floats(name + ".scores");
    std::copy(scores.begin(), scores.end(), layer.token_scores.begin());
    const auto kept = golden.integers(name + ".kept");
    head_adaptive::params p;
    p.m = static_cast<index_t>(kept.size() / 2);
    p.safeguard = static_cast<double>(golden.integers(name + ".params")[1]) / 1000;
    for (const bool by_ratio : {false, true}) {
      if (by_ratio) {  // the ratio that says the same count
        p.ratio = static_cast<double>(p.m) / static_cast<double>(shape[0] * shape[1]);
        p.m = 0;
      }
      REQUIRE(span.run<head_adaptive, keep_all>(p, {}, 2).ok());
      std::vector<std::int64_t> got;
      for (index_t h = 0; h < shape[0]; ++h)
        for (index_t i = 0; i < layer.out.counts(h); ++i)
          got.insert(got.end(), {h, layer.out.indices(h, i)});
      CHECK(got == kept);
    }
  }
  CHECK(cases == 8);
}

TEST_CASE("a pyramid's layers keep what PyramidKV's do") {
  const golden_file golden("kvpress/budgets.safetensors");
  int cases = 0;
  for (;; ++cases) {
    const std::string name = "pyramid." + std::to_string(cases);
    if (!golden.has(name + ".counts")) break;
    CAPTURE(name);
    const auto counts = golden.integers(name + ".counts");
    const auto values = golden.integers(name + ".params");
    pyramid::params p;
    p.ratio = static_cast<double>(values[1]) / 1000;
    p.window = values[2];
    p.beta = static_cast<double>(values[3]);
    const auto layers = static_cast<index_t>(counts.size());
    for (index_t l = 0; l < layers; ++l)
      CHECK(pyramid::count(p, values[0], {l, layers}) == counts[static_cast<std::size_t>(l)]);
  }
  CHECK(cases == 10);
}
