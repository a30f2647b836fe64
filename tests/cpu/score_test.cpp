#include <limits>

#include <doctest/doctest.h>

#include <rota/score/key_diff.hpp>
#include <rota/score/reference.hpp>

#include "support/policies.hpp"
#include "support/scored_layer.hpp"
#include "support/scoring.hpp"

using namespace rota;
using namespace rota_test;

namespace {

template <element E>
void compare_with_references(std::uint64_t seed) {
  random_source rng(seed);
  const index_t n = rng.pick<index_t>({1, 2, 5, 63, 64, 65, 255, 257, 300, 520});
  const index_t kv_heads = rng.between(1, 3), group = rng.between(1, 3);
  const index_t d_k = 2 * rng.between(1, 40), groups = rng.between(1, 4), width = 8;
  const index_t window = std::min<index_t>(n, rng.between(0, 9));
  const scored_layer<E> l(rng, n, kv_heads, group, d_k, groups * width, window, rng.chance(0.5));
  CAPTURE(seed);
  CAPTURE(n);
  CAPTURE(kv_heads);
  CAPTURE(group);
  CAPTURE(d_k);
  CAPTURE(window);
  const int threads = static_cast<int>(rng.between(1, 3));

  CHECK(relative_difference(token_scores(key_norm{}, {}, l.c, threads),
                            reference::score_tokens(key_norm{}, {}, l.c)) < 1e-6);
  CHECK(relative_difference(token_scores(window_sink{}, {}, l.c, threads),
                            reference::score_tokens(window_sink{}, {}, l.c)) == 0);
  CHECK(relative_difference(group_scores(value_norm{}, {}, l.c, 8, threads),
                            reference::score_groups(value_norm{}, {}, l.c, 8)) < 1e-6);

  expected_attention::params p;
  p.future_positions = rng.pick<index_t>({1, 7, 512});
  p.sinks = rng.between(0, 5);
  p.epsilon = rng.chance(0.5) ? 0.01f : 0.0f;
  p.use_covariance = rng.chance(0.7);
  p.use_value_norm = rng.chance(0.7);
  const auto check_expected = [&](const auto& c) {
    CHECK(relative_difference(token_scores(expected_attention{}, p, c, threads),
                              reference::score_tokens(expected_attention{}, p, c)) < 5e-5);
  };
  check_expected(l.c);
  auto turned = l.c;  // other pairs, fewer of them, a sliding window
  turned.pairing = rope_pairing::interleaved;
  check_expected(turned);
  turned.inverse_frequencies.extent[0] = rng.between(1, d_k / 2);
  turned.rotary_channels = 2 * turned.inverse_frequencies.extent[0];
  turned.scale = 1.3f;
  check_expected(turned);
  turned.pairing = rope_pairing::halves;
  turned.sliding_window = rng.pick<index_t>({1, 5, 60, 200, INT64_MAX});
  check_expected(turned);
  const attention_mass::params a{rng.chance(0.5) ? 0.3f : 0.0f, rng.pick<index_t>({1, 3, 7})};
  CHECK(relative_difference(group_scores(attention_mass{}, a, l.c, 8, threads),
                            reference::score_groups(attention_mass{}, a, l.c, 8)) < 2e-5);
}

template <class T>
std::vector<std::uint32_t> bits_of(const std::vector<T>& x) {
  std::vector<std::uint32_t> bits;
  for (T v : x) bits.push_back(rota::bit_cast<std::uint32_t>(v));
  return bits;
}

}  // namespace

TEST_CASE("stock scorers agree with their double references") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    compare_with_references<f32>(seed);
    compare_with_references<bf16>(1000 + seed);
    compare_with_references<f16>(2000 + seed);
  }
}

TEST_CASE("scores are the same bits for any number of threads") {
  random_source rng(5);
  const scored_layer<bf16> l(rng, 1700, 3, 2, 24, 32, 16);
  const auto check_tokens = [&](auto scorer, auto params) {
    const auto one = bits_of(token_scores(scorer, params, l.c, 1));
    for (int threads : {2, 3, 5}) CHECK(bits_of(token_scores(scorer, params, l.c, threads)) == one);
  };
  check_tokens(key_norm{}, key_norm::params{});
  check_tokens(window_sink{}, window_sink::params{});
  check_tokens(expected_attention{}, expected_attention::params{});
  check_tokens(key_diff{}, key_diff::params{});
  check_tokens(weighted_norms{}, weighted_norms::params{});
  const auto check_groups = [&](auto scorer, auto params) {
    const auto one = bits_of(group_scores(scorer, params, l.c, 8, 1));
    for (int threads : {2, 3, 5})
      CHECK(bits_of(group_scores(scorer, params, l.c, 8, threads)) == one);
  };
  check_groups(value_norm{}, value_norm::params{});
  check_groups(attention_mass{}, attention_mass::params{});
  check_groups(slice_peak{}, slice_peak::params{});
}

TEST_CASE("a user's pointwise token scorer sees each token's own rows and places") {
  random_source rng(6);
  const random_layer<f16> l(rng, 300, 2, 10, 16, true);
  const weighted_norms::params p{0.25f};
  const std::vector<float> got = token_scores(weighted_norms{}, p, l.context, 2);
  for (index_t h = 0; h < 2; ++h)
    for (index_t i = 0; i < 300; ++i) {
      double want =
          l.context.position(i) + 100.0 * static_cast<double>(h) + static_cast<double>(i) / 300;
      for (index_t k = 0; k < 10; ++k)
        want += std::abs(static_cast<double>(static_cast<float>(l.context.keys(i, h, k))));
      for (index_t k = 0; k < 16; ++k)
        want += 0.25 * std::abs(static_cast<double>(static_cast<float>(l.context.values(i, h, k))));
      CHECK(got[static_cast<std::size_t>(h * 300 + i)] == doctest::Approx(want).epsilon(1e-5));
    }
}

TEST_CASE("a user's group scorer sees each slice") {
  random_source rng(7);
  const random_layer<bf16> l(rng, 270, 2, 8, 48);
  const std::vector<float> got = group_scores(slice_peak{}, {}, l.context, 16, 2);
  for (index_t h = 0; h < 2; ++h)
    for (index_t i = 0; i < 270; ++i)
      for (index_t g = 0; g < 3; ++g) {
        float top = 0;
        for (index_t k = 0; k < 16; ++k)
          top = std::max(top, std::abs(static_cast<float>(l.context.values(i, h, g * 16 + k))));
        CHECK(got[static_cast<std::size_t>((h * 270 + i) * 3 + g)] ==
              top + static_cast<float>(g) + static_cast<float>(i) * 0.25f);
      }
}

TEST_CASE("rows may be strided and wider than a page of floats") {
  random_source rng(8);
  constexpr index_t n = 20, d = 2050;
  std::vector<bf16> memory(n * 2 * 2 * d);
  for (bf16& x : memory) x = bf16(rng.normal());
  context<bf16> c;  // keys and values interleaved per head
  c.keys = view<const bf16, 3>(memory.data(), {n, 2, d}, {4 * d, 2 * d, 1});
  c.values = view<const bf16, 3>(memory.data() + d, {n, 2, 2048}, {4 * d, 2 * d, 1});
  CHECK(relative_difference(token_scores(key_norm{}, {}, c, 2),
                            reference::score_tokens(key_norm{}, {}, c)) < 1e-6);
  CHECK(relative_difference(group_scores(value_norm{}, {}, c, 128, 2),
                            reference::score_groups(value_norm{}, {}, c, 128)) < 1e-6);
}

TEST_CASE("an empty context has no scores and is no error") {
  random_source rng(9);
  const scored_layer<f32> l(rng, 0, 2, 2, 8, 16, 0);
  CHECK(token_scores(key_norm{}, {}, l.c).empty());
  CHECK(token_scores(key_diff{}, {}, l.c).empty());
  CHECK(token_scores(expected_attention{}, {}, l.c).empty());
  CHECK(group_scores(value_norm{}, {}, l.c, 8).empty());
  CHECK(group_scores(attention_mass{}, {}, l.c, 8).empty());
}

TEST_CASE("expected attention: sinks are finite and above the rest of their own head") {
  random_source rng(10);
  scored_layer<f32> l(rng, 200, 2, 2, 16, 16, 0);
  for (index_t i = 0; i < 200; ++i)  // head 1 has much larger values
    for (index_t k = 0; k < 16; ++k)
      l.plain.values[static_cast<std::size_t>((i * 2 + 1) * 16 + k)] *= 1000;
  const std::vector<float> s = token_scores(expected_attention{}, {}, l.c);
  for (std::size_t h = 0; h < 2; ++h) {
    const float* head = s.data() + h * 200;
    const float top = *std::max_element(head + 4, head + 200);
    for (int i = 0; i < 4; ++i) {
      CHECK(head[i] > top);
      CHECK(head[i] <= top * 1.001f);
    }
  }
  const std::vector<float> all_sinks = token_scores(
      expected_attention{}, expected_attention::params{.future_positions = 512, .sinks = 500}, l.c);
  for (float x : all_sinks) CHECK((x > 0 && std::isfinite(x)));
}

TEST_CASE("NaN and infinities pass through the scorers and stay in their head") {
  random_source rng(11);
  constexpr float inf = std::numeric_limits<float>::infinity();
  scored_layer<f32> l(rng, 100, 2, 1, 8, 16, 4);
  l.plain.keys[(10 * 2 + 0) * 8 + 3] = NAN;
  l.plain.keys[(11 * 2 + 0) * 8 + 3] = inf;
  l.plain.values[(12 * 2 + 0) * 16 + 1] = -inf;
  const auto norms = token_scores(key_norm{}, {}, l.c);
  CHECK(std::isnan(norms[10]));
  CHECK(norms[11] == -inf);
  CHECK(std::isfinite(norms[12]));
  const auto slices = group_scores(value_norm{}, {}, l.c, 8);
  CHECK(slices[12 * 2] == inf);
  CHECK(std::isfinite(slices[12 * 2 + 1]));
  const auto expected = token_scores(expected_attention{}, {}, l.c, 2);
  const auto mass = group_scores(attention_mass{}, {}, l.c, 8, 2);
  CHECK(std::isnan(expected[50]));  // the softmax of head 0 is no number
  CHECK(std::isfinite(expected[0]));
  for (std::size_t i = 100; i < 200; ++i) CHECK(std::isfinite(expected[i]));
  for (std::size_t i = 200; i < 400; ++i) CHECK(std::isfinite(mass[i]));
}

TEST_CASE("attention mass: every softmax row sums to one") {
  random_source rng(12);
  const scored_layer<f32> l(rng, 70, 1, 2, 8, 16, 5);
  const std::vector<float> before = group_scores(attention_mass{}, {}, l.c, 16);
  double total = 0;
  for (index_t i = 0; i < 70; ++i)
    total +=
        double{before[static_cast<std::size_t>(i)]} / reference::norm_of(l.c.values, i, 0, 0, 16);
  CHECK(total == doctest::Approx(5 * 2).epsilon(1e-5));
}
