#include <cmath>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/pack/quantize.hpp>

#include "support/random.hpp"

// Rows that are quantized together, against each alone and against plain scalar code.

namespace {

using namespace rota;
using namespace rota_test;

constexpr int rows_at_once = cpu::simd::lanes;

/// quantize_row() number by number, for rows of finite numbers that are not all 0.
template <element From>
scale_type quantize_slowly(const From* from, int8* to, index_t n) {
  float most = 0;
  for (index_t i = 0; i < n; ++i) most = std::fmax(most, std::fabs(static_cast<float>(from[i])));
  const float exact = most / 127.0f;
  scale_type scale(exact);
  if (static_cast<float>(scale) < exact) ++scale.bits;
  for (index_t i = 0; i < n; ++i) {
    const float steps = static_cast<float>(from[i]) / static_cast<float>(scale);
    to[i].bits = static_cast<std::int8_t>(std::nearbyint(steps));
  }
  return scale;
}

/// Numbers of which many are halfway between two steps.
template <element From>
std::vector<From> numbers(random_source& rng, index_t n, float size) {
  std::vector<From> x(static_cast<std::size_t>(n));
  for (From& v : x)
    v = From(rng.below(3) == 0 ? size * (static_cast<float>(rng.below(256)) - 127.5f)
                               : size * 40 * rng.normal());
  return x;
}

template <element From, class Count>
void check_rows(const std::vector<From>& x, Count n, bool plain) {
  const From* rows[rows_at_once];
  for (int i = 0; i < rows_at_once; ++i) rows[i] = x.data() + i * n;
  std::vector<int8> together(x.size()), alone(n), slow(n);
  scale_type scales[rows_at_once];
  cpu::quantize_rows(rows, together.data(), scales, n);
  for (int i = 0; i < rows_at_once; ++i) {
    REQUIRE(cpu::quantize_row(rows[i], alone.data(), n).bits == scales[i].bits);
    for (index_t k = 0; k < n; ++k)
      REQUIRE(alone[static_cast<std::size_t>(k)].bits ==
              together[static_cast<std::size_t>(i * n + k)].bits);
    if (!plain) continue;
    REQUIRE(quantize_slowly(rows[i], slow.data(), n).bits == scales[i].bits);
    for (index_t k = 0; k < n; ++k)
      REQUIRE(slow[static_cast<std::size_t>(k)].bits == alone[static_cast<std::size_t>(k)].bits);
  }
}

template <element From>
void check_sizes(random_source& rng, std::initializer_list<float> sizes) {
  for (const float size : sizes) {
    using sixteen = std::integral_constant<index_t, 16>;
    check_rows(numbers<From>(rng, 16 * rows_at_once, size), sixteen{}, true);
    for (const index_t n : {index_t{3}, index_t{20}, index_t{64}, index_t{80}, index_t{128}})
      check_rows(numbers<From>(rng, n * rows_at_once, size), n, true);
  }
}

}  // namespace

TEST_CASE("rows are quantized together to the bits of each alone") {
  random_source rng(1);
  for (int round = 0; round < 20; ++round) {
    check_sizes<f32>(rng, {1e-30f, 0.25f, 1.0f, 3.7f, 1e30f});
    check_sizes<bf16>(rng, {1e-30f, 0.25f, 1.0f, 3.7f, 1e30f});
    check_sizes<f16>(rng, {0.001f, 0.25f, 1.0f, 3.7f});
  }
}

TEST_CASE("among the rows there may be some of zeros, tiny numbers or none") {
  random_source rng(2);
  for (const float odd : {0.0f, 1e-40f, NAN, INFINITY, -INFINITY})
    for (int row = 0; row < rows_at_once; ++row) {
      std::vector<bf16> x = numbers<bf16>(rng, 64 * rows_at_once, 1.0f);
      for (int i = 0; i < 64; ++i)
        if (i == 40 || std::isfinite(odd)) x[static_cast<std::size_t>(row * 64 + i)] = bf16(odd);
      check_rows(x, index_t{64}, false);
    }
}
