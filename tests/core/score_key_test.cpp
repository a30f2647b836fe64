#include <limits>

#include <doctest/doctest.h>

#include <rota/core/score_key.hpp>

#include "support/random.hpp"

using namespace rota;

TEST_CASE("keys order as floats do") {
  rota_test::random_source rng(1);
  for (int i = 0; i < 200000; ++i) {
    const float a = bit_cast<float>(static_cast<std::uint32_t>(rng.bits()));
    const float b = rng.chance(0.3) ? a : bit_cast<float>(static_cast<std::uint32_t>(rng.bits()));
    if (a != a || b != b) continue;
    REQUIRE((score_key(a) < score_key(b)) == (a < b));
    REQUIRE((score_key(a) == score_key(b)) == (a == b));
  }
}

TEST_CASE("zeros are equal, NaN is below everything") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(score_key(0.0f) == score_key(-0.0f));
  CHECK(score_key(std::numeric_limits<float>::denorm_min()) > score_key(0.0f));
  CHECK(score_key(-std::numeric_limits<float>::denorm_min()) < score_key(-0.0f));
  for (std::uint32_t bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffc00000u})
    CHECK(score_key(bit_cast<float>(bits)) == 0);
  CHECK(score_key(-inf) > 0);
  CHECK(score_key(inf) > score_key(std::numeric_limits<float>::max()));
  CHECK(score_key(-inf) < score_key(std::numeric_limits<float>::lowest()));
}
