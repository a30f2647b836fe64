#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/simd/bits.hpp>
#include <rota/cpu/simd/reduce.hpp>
#include <rota/cpu/simd/split.hpp>
#include <rota/cpu/simd/stream.hpp>
#include <rota/cpu/simd/transpose.hpp>

#include "support/random.hpp"

using namespace rota_test;
namespace simd = rota::cpu::simd;

namespace {

std::vector<float> sixty_four(random_source& rng) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> special = {NAN, -NAN, inf, -inf, 0.0f, -0.0f, 1e-40f, -1e-40f, 3e38f, 1};
  std::vector<float> x(simd::word_items);
  for (float& v : x) v = rng.chance(0.5) ? rng.pick(special) : rng.normal();
  return x;
}

std::vector<std::int32_t> plain_keys(const std::vector<float>& x) {
  std::vector<std::int32_t> keys;
  for (float v : x) keys.push_back(simd::signed_key(rota::score_key(v)));
  return keys;
}

std::uint64_t random_word(random_source& rng) {
  const std::uint64_t bits = rng.bits();
  return rng.chance(0.3) ? bits & rng.bits() & rng.bits() : rng.chance(0.1) ? 0 : bits;
}

}  // namespace

TEST_CASE("keys of 64 floats are score keys; comparisons follow them") {
  random_source rng(1);
  for (int round = 0; round < 300; ++round) {
    const std::vector<float> x = sixty_four(rng);
    const std::vector<std::int32_t> keys = plain_keys(x);
    const auto word = simd::key_word::of(x.data());
    std::vector<std::int32_t> got(simd::word_items);
    std::memcpy(got.data(), &word, sizeof word);
    REQUIRE(got == keys);
    const std::int32_t bound =
        rng.chance(0.1) ? simd::key_of_nan : rng.pick(keys) + static_cast<int>(rng.below(2));
    const std::uint64_t above = simd::above(word, bound), at_least = simd::at_least(word, bound);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      REQUIRE((above >> i & 1) == (keys[i] > bound));
      REQUIRE((at_least >> i & 1) == (keys[i] >= bound));
    }
    const auto n = static_cast<std::int64_t>(rng.below(simd::word_items + 1));
    REQUIRE(simd::count_at_least(keys.data(), n, bound) ==
            std::count_if(keys.begin(), keys.begin() + n, [&](auto k) { return k >= bound; }));
  }
}

TEST_CASE("a bracket splits 64 floats as it splits their keys") {
  random_source rng(6);
  for (int round = 0; round < 600; ++round) {
    const std::vector<float> x = sixty_four(rng);
    const std::vector<std::int32_t> keys = plain_keys(x);
    const std::int32_t low = rng.pick(keys), high = std::max(low, rng.pick(keys));
    const std::uint64_t there = rng.chance(0.5) ? ~std::uint64_t{0} : random_word(rng);
    std::vector<std::int32_t> want, got(2 * simd::word_items);
    std::uint64_t above = 0, inside = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if ((there >> i & 1) == 0 || keys[i] < low) continue;
      (keys[i] >= high ? above : inside) |= std::uint64_t{1} << i;
      if (keys[i] < high) want.push_back(keys[i]);
    }
    const auto same = [&](const simd::split_word& s) {
      got.resize(want.size());
      return s.high == above && s.inside == inside && got == want;
    };
    REQUIRE(same(simd::split(simd::key_word::of(x.data()), there, low, high, got.data())));
    if (!simd::compares_as_number(low) || !simd::compares_as_number(high)) continue;
    got.assign(2 * simd::word_items, 0);
    const auto s = simd::split(simd::score_word::of(x.data()), there, simd::number_of(low),
                               simd::number_of(high), got.data());
    simd::make_keys(got.data(), std::popcount(s.inside));
    REQUIRE(same(s));
  }
}

TEST_CASE("words are compressed, deposited and listed bit by bit") {
  random_source rng(2);
  for (int round = 0; round < 300; ++round) {
    const std::vector<std::int32_t> keys = plain_keys(sixty_four(rng));
    const std::uint64_t word = random_word(rng), mask = random_word(rng);
    std::vector<std::int32_t> want, want_positions;
    std::uint64_t deposited = 0;
    int taken = 0;
    for (int i = 0; i < simd::word_items; ++i) {
      if (word >> i & 1) want.push_back(keys[static_cast<std::size_t>(i)]);
      if (word >> i & 1) want_positions.push_back(1000 + i);
      if (mask >> i & 1) deposited |= (word >> taken++ & 1) << i;
    }
    std::vector<std::int32_t> got(2 * simd::word_items), positions(simd::word_items);
    got.resize(static_cast<std::size_t>(
        simd::compress(simd::key_word::of(keys.data()), word, got.data())));
    REQUIRE(got == want);
    positions.resize(static_cast<std::size_t>(simd::write_positions(word, 1000, positions.data())));
    REQUIRE(positions == want_positions);
    REQUIRE(simd::deposit(word, mask) == deposited);

    const auto n = static_cast<std::int64_t>(rng.below(simd::word_items + 2));
    std::uint64_t first = 0;
    for (int i = 0; i < simd::word_items; ++i)
      if ((word >> i & 1) && std::popcount(first) < n) first |= std::uint64_t{1} << i;
    REQUIRE(simd::first_bits(word, n) == first);
  }
}

TEST_CASE("streaming copies are copies, wherever they begin and end") {
  random_source rng(3);
  std::vector<std::uint16_t> from(600);
  for (auto& x : from) x = static_cast<std::uint16_t>(rng.bits());
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint16_t> to(700, 7), want = to;
    const auto n = rng.below(501), at = rng.below(100), source = rng.below(100);
    std::copy_n(from.begin() + source, n, want.begin() + at);
    simd::stream_copy(to.data() + at, from.data() + source, n);
    simd::stream_fence();
    REQUIRE(to == want);
  }
}

TEST_CASE("masks that have a bit are listed") {
  random_source rng(5);
  for (int round = 0; round < 300; ++round) {
    const auto n = rng.below(257);
    const auto bit = static_cast<int>(rng.below(16));
    std::vector<std::uint16_t> masks(static_cast<std::size_t>(n));
    std::vector<std::uint8_t> want, got(256 + 64);
    for (auto& m : masks) m = static_cast<std::uint16_t>(rng.bits());
    for (int i = 0; i < n; ++i)
      if ((masks[static_cast<std::size_t>(i)] >> bit & 1) != 0)
        want.push_back(static_cast<std::uint8_t>(i));
    const auto count = simd::list_with_bit(masks.data(), n, bit, got.data());
    got.resize(static_cast<std::size_t>(count));
    REQUIRE(got == want);
  }
}

TEST_CASE("squares are transposed; the largest integer of a vector") {
  constexpr int lanes = simd::lanes;
  random_source rng(4);
  simd::native rows[lanes];
  float before[lanes][lanes];
  for (auto& row : before)
    for (float& x : row) x = rng.normal();
  for (int i = 0; i < lanes; ++i) rows[i] = simd::load_raw<simd::native>(before[i]);
  simd::transpose(rows);
  for (int i = 0; i < lanes; ++i) {
    float row[lanes];
    simd::store_raw(row, rows[i]);
    for (int j = 0; j < lanes; ++j) REQUIRE(row[j] == before[j][i]);
  }

  for (int i = 0; i < 4; ++i) rows[i] = simd::load_raw<simd::native>(before[i]);
  simd::transpose<4>(rows);
  for (int i = 0; i < 4; ++i) {
    float row[lanes];
    simd::store_raw(row, rows[i]);
    for (int j = 0; j < lanes; ++j) REQUIRE(row[j] == before[j % 4][j / 4 * 4 + i]);
  }

  for (int largest = 0; largest < lanes; ++largest) {
    simd::ints<lanes> v{};
    for (int l = 0; l < lanes; ++l) v[l] = -1000 - static_cast<int>(rng.below(1000));
    v[largest] = -7;
    REQUIRE(simd::horizontal_max(v) == -7);
  }
}

TEST_CASE("the largest integers of as many vectors as one has lanes") {
  constexpr int lanes = simd::lanes;
  random_source rng(6);
  simd::ints<lanes> rows[lanes];
  std::int32_t want[lanes];
  for (int i = 0; i < lanes; ++i) {
    want[i] = INT32_MIN;
    for (int l = 0; l < lanes; ++l) {
      rows[i][l] = static_cast<std::int32_t>(rng.bits());
      want[i] = std::max<std::int32_t>(want[i], rows[i][l]);
    }
  }
  const simd::ints<lanes> got = simd::horizontal_maxima(rows);
  for (int i = 0; i < lanes; ++i) REQUIRE(got[i] == want[i]);
}
