#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/exp.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/tiles.hpp>

#include "support/random.hpp"

namespace {

namespace simd = rota::cpu::simd;
using rota::bf16;
using rota::f16;

/// Calls f with each vector length of this machine.
template <class F>
void for_each_length(F&& f) {
  f(std::integral_constant<int, 4>{});
  if constexpr (simd::lanes >= 8) f(std::integral_constant<int, 8>{});
  if constexpr (simd::lanes >= 16) f(std::integral_constant<int, 16>{});
}

std::uint32_t bits(float x) {
  return rota::bit_cast<std::uint32_t>(x);
}

/// Every 16-bit pattern read as E equals the scalar conversion; NaN only as NaN.
template <class E, int N>
void check_loads() {
  for (std::uint32_t first = 0; first < 0x10000; first += N) {
    E in[N];
    for (int i = 0; i < N; ++i)
      in[i].bits = static_cast<std::uint16_t>(first + static_cast<std::uint32_t>(i));
    float out[N];
    simd::store_raw(out, simd::load<N>(in));
    for (int i = 0; i < N; ++i) {
      const float want = static_cast<float>(in[i]);
      if (std::isnan(want))
        REQUIRE(std::isnan(out[i]));
      else
        REQUIRE(bits(out[i]) == bits(want));
    }
  }
}

template <class E, int N>
void check_store(const float* in) {
  E out[N];
  simd::store<N>(out, simd::load<N>(in));
  for (int i = 0; i < N; ++i) REQUIRE(out[i].bits == E(in[i]).bits);
}

template <class E, int N>
void check_stores() {
  rota_test::random_source rng(1);
  for (int round = 0; round < 20000; ++round) {
    float in[N];
    for (float& x : in) x = rota::bit_cast<float>(static_cast<std::uint32_t>(rng.bits()));
    check_store<E, N>(in);
    for (float& x : in) x = std::ldexp(rng.normal(), static_cast<int>(rng.between(-30, 20)));
    check_store<E, N>(in);
    // Ties: halves of the last place of a representable number.
    for (float& x : in) {
      E e;
      e.bits = static_cast<std::uint16_t>(rng.below(0x7c00));
      E next = e;
      ++next.bits;
      x = static_cast<float>(e) / 2 + static_cast<float>(next) / 2;
    }
    check_store<E, N>(in);
  }
}

/// The largest relative error of f against the double function over [low, high].
template <int N, class F, class G>
double worst_relative_error(F&& f, G&& exact, double low, double high) {
  constexpr int steps = 200000;
  double worst = 0;
  for (int s = 0; s < steps; s += N) {
    float x[N], y[N];
    for (int i = 0; i < N; ++i) x[i] = static_cast<float>(low + (high - low) * (s + i) / steps);
    simd::store_raw(y, f(simd::load<N>(x)));
    for (int i = 0; i < N; ++i) {
      const double want = exact(static_cast<double>(x[i]));
      worst = std::max(worst, std::fabs(static_cast<double>(y[i]) - want) / want);
    }
  }
  return worst;
}

template <int N, class F>
float at(F&& f, float x) {
  float y[N];
  simd::store_raw(y, f(simd::broadcast<N>(x)));
  for (int i = 1; i < N; ++i) CHECK((bits(y[i]) == bits(y[0])));
  return y[0];
}

}  // namespace

TEST_CASE("elements are read as the scalar types read them") {
  for_each_length([](auto n) {
    check_loads<bf16, n>();
    check_loads<f16, n>();
  });
}

TEST_CASE("halves are widened without an instruction for it, too") {
  for_each_length([](auto n) {
    for (std::uint32_t h = 0; h < 0x10000; ++h) {
      simd::shorts<n> in{};
      in += static_cast<std::uint16_t>(h);
      float out[n];
      simd::store_raw(out, simd::half_to_float<n>(in));
      const float want = rota::detail::half_value(static_cast<std::uint16_t>(h));
      if (std::isnan(want))
        REQUIRE(std::isnan(out[0]));
      else
        REQUIRE(bits(out[0]) == bits(want));
    }
  });
}

TEST_CASE("a part of a vector is read without what lies behind it") {
  for_each_length([](auto n) {
    for (int count = 1; count < n; ++count) {
      const std::vector<bf16> in(static_cast<std::size_t>(count), bf16(2.5f));
      float out[n];
      simd::store_raw(out, simd::load_part<n>(in.data(), count));
      for (int i = 0; i < n; ++i) CHECK(out[i] == (i < count ? 2.5f : 0.0f));
    }
  });
}

TEST_CASE("floats are rounded as the scalar types round them") {
  for_each_length([](auto n) {
    check_stores<bf16, n>();
    check_stores<f16, n>();
  });
}

TEST_CASE("exponentials: error, ends and special values") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for_each_length([&](auto n) {
    constexpr int N = n;
    const auto exp = [](simd::floats<N> x) { return simd::exp<N>(x); };
    const auto exp2 = [](simd::floats<N> x) { return simd::exp2<N>(x); };
    CHECK(worst_relative_error<n>(
              exp, [](double x) { return std::exp(x); }, -87, 88.7) < 2e-7);
    CHECK(worst_relative_error<n>(
              exp2, [](double x) { return std::exp2(x); }, -126, 127.9) < 2e-7);
    for (const float huge : {inf, 1e30f, 200.0f}) {
      CHECK(at<n>(exp, huge) == inf);
      CHECK(at<n>(exp2, huge) == inf);
      CHECK(at<n>(exp, -huge) == 0.0f);
      CHECK(at<n>(exp2, -huge) == 0.0f);
    }
    CHECK(at<n>(exp, 0.0f) == 1.0f);
    CHECK(at<n>(exp2, 0.0f) == 1.0f);
    CHECK(at<n>(exp2, 10.0f) == 1024.0f);
    CHECK(at<n>(exp2, -140.0f) == 0x1p-140f);
    CHECK(std::isnan(at<n>(exp, nan)));
    CHECK(std::isnan(at<n>(exp2, nan)));
  });
}

TEST_CASE("exponentials that will be rounded to bf16, and the rounding") {
  const float inf = std::numeric_limits<float>::infinity();
  for_each_length([&](auto n) {
    constexpr int N = n;
    const auto exp2 = [](simd::floats<N> x) { return simd::exp2_of_weight<N>(x); };
    CHECK(worst_relative_error<n>(
              exp2, [](double x) { return std::exp2(x); }, -126, 0) < 0x1p-18);
    for (const float huge : {inf, 1e30f, 200.0f}) CHECK(at<n>(exp2, -huge) == 0.0f);
    CHECK(at<n>(exp2, 0.0f) == 1.0f);
    const auto kept = [](simd::floats<N> w) { return simd::kept_of_weights<N, 1>(w); };
    const auto kept_2 = [](simd::floats<N> w) { return simd::kept_of_weights<N, 2>(w); };
    for (float w = 1; w > 1e-30f; w *= 0.37f) {
      CHECK(at<n>(kept, w) == static_cast<float>(bf16(w)));  // no ties among these
      CHECK(at<n>(kept, at<n>(kept, w)) == at<n>(kept, w));
      CHECK(std::fabs(at<n>(kept_2, w) - w) <= 0x1p-17f * w);
    }
    CHECK(std::isnan(at<n>(exp2, std::bit_cast<float>(0x7f800001u))));
    for (const std::uint32_t bits : {0x7fc00000u, 0x7fffffffu, 0xffffffffu}) {
      const auto nan = std::bit_cast<float>(bits);
      CHECK(std::isnan(at<n>(exp2, nan)));
      CHECK(std::isnan(at<n>(kept, nan)));
      CHECK(std::isnan(at<n>(kept_2, nan)));
    }
  });
}

TEST_CASE("sums and maxima over lanes") {
  rota_test::random_source rng(3);
  float in[simd::lanes][simd::lanes];
  simd::native rows[simd::lanes];
  for (int i = 0; i < simd::lanes; ++i) {
    for (float& x : in[i]) x = rng.normal();
    rows[i] = simd::load<simd::lanes>(in[i]);
  }
  float sums[simd::lanes];
  simd::store_raw(sums, simd::horizontal_sums(rows));
  for (int i = 0; i < simd::lanes; ++i) {
    double sum = 0;
    float max = in[i][0];
    for (float x : in[i]) {
      sum += static_cast<double>(x);
      max = std::max(max, x);
    }
    CHECK(static_cast<double>(sums[i]) == doctest::Approx(sum).epsilon(1e-5));
    CHECK(static_cast<double>(simd::horizontal_sum<simd::lanes>(rows[i])) ==
          doctest::Approx(sum).epsilon(1e-5));
    CHECK(simd::horizontal_max<simd::lanes>(rows[i]) == max);
  }
  // The same vector gives the same bits in every place.
  for (auto& row : rows) row = rows[0];
  simd::store_raw(sums, simd::horizontal_sums(rows));
  for (float s : sums) CHECK((bits(s) == bits(sums[0])));
}
