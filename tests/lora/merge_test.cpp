#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/lora/merge.hpp>
#include <rota/lora/reference.hpp>

#include "support/lora_case.hpp"

using namespace rota;
using namespace rota_test;

namespace {

/// W x before and after the merge differ by what the adapter adds to it.
template <lora_form Form, element E>
void check_merge(std::uint64_t seed) {
  random_source rng(seed);
  const index_t in = rng.between(1, 150), out = rng.between(1, 40);
  const index_t rank = Form::subspaces * rng.between(1, 5), pitch = in + rng.below(4);
  adapter<E> a(rng, in, out, rank, Form::subspaces);
  if constexpr (Form::routed) {
    for (E& x : a.router) x = E(0.0f);
    for (float& x : a.bias) x = 0;
  }
  std::vector<float> memory(static_cast<std::size_t>(out * pitch));
  for (float& x : memory) x = rng.normal();
  const std::vector<float> before = memory;
  const view<float, 2> w(memory.data(), {out, in}, {pitch, 1});
  REQUIRE(merge_lora<Form>(a.weights, w).ok());
  std::vector<float> x(static_cast<std::size_t>(in));
  for (float& v : x) v = rng.normal();
  const auto expected = reference::lora_of_token<Form>(a.weights, x.data());
  for (index_t o = 0; o < out; ++o) {
    double change = 0, size = 1e-3;
    for (index_t i = 0; i < in; ++i) {
      const auto at = static_cast<std::size_t>(o * pitch + i);
      const double xi = static_cast<double>(x[static_cast<std::size_t>(i)]);
      change += (static_cast<double>(memory[at]) - static_cast<double>(before[at])) * xi;
      size += std::abs(static_cast<double>(memory[at]) * xi);
    }
    CHECK(std::abs(change - expected.y[static_cast<std::size_t>(o)]) < 1e-6 * size);
  }
  REQUIRE(unmerge_lora<Form>(a.weights, w).ok());
  for (std::size_t i = 0; i < memory.size(); ++i)
    CHECK(std::abs(memory[i] - before[i]) <= 1e-5f * (1 + std::abs(before[i])));
}

}  // namespace

TEST_CASE("a merged adapter is part of the projection, and can be taken out again") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    check_merge<plain_lora, float>(seed);
    check_merge<plain_lora, bf16>(seed);
    check_merge<routed_lora<4, 4>, float>(seed);
    check_merge<routed_lora<2, 2, sigmoid_gate>, f16>(seed);
  }
}

TEST_CASE("what depends on the token does not merge, and w stays as it was") {
  random_source rng(5);
  std::vector<float> memory(6 * 10, 3.0f);
  const view<float, 2> w(memory.data(), 6, 10);
  const auto refused = [&](const status& s, errc code, const char* argument) {
    CHECK(s == code);
    CHECK(std::string(s.argument) == argument);
    for (const float x : memory) CHECK(x == 3.0f);
  };
  adapter<float> a(rng, 10, 6, 8, 4);
  refused(merge_lora<routed_lora<4, 4>>(a.weights, w), errc::bad_parameter, "router");
  for (float& x : a.router) x = 0;
  a.weights.router_bias = view<const float, 1>(a.bias.data(), 4);
  refused(merge_lora<routed_lora<4, 4>>(a.weights, w), errc::bad_parameter, "router");
  for (float& x : a.bias) x = 0;
  refused(merge_lora<routed_lora<4, 2>>(a.weights, w), errc::bad_parameter, "router");
  refused(unmerge_lora<routed_lora<4, 1>>(a.weights, w), errc::bad_parameter, "router");
  refused(merge_lora<routed_lora<3, 3>>(a.weights, w), errc::bad_count, "down");
  refused(merge_lora<plain_lora>(a.weights, view<float, 2>(memory.data(), 10, 6)), errc::bad_shape,
          "w");
  refused(merge_lora<plain_lora>(a.weights, view<float, 2>(nullptr, 6, 10)), errc::null_view, "w");
  lora_weights<float> alias = a.weights;
  alias.down = view<const float, 2>(memory.data(), 1, 10);
  alias.up = view<const float, 2>(a.up.data(), 1, 6);
  refused(merge_lora<plain_lora>(alias, w), errc::overlapping_memory, "w");
}
