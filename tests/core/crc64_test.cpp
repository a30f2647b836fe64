#include <cstring>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <rota/core/crc64.hpp>

#include "support/random.hpp"

namespace {

using rota::crc64;

std::uint64_t crc_of(std::string_view text) {
  return crc64(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

/// Bit by bit, as the specification is written.
std::uint64_t slow_crc(const std::vector<std::byte>& data) {
  std::uint64_t crc = ~std::uint64_t{0};
  for (const std::byte b : data) {
    crc ^= static_cast<std::uint64_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0xc96c5795d7870f42u : 0);
  }
  return ~crc;
}

}  // namespace

TEST_CASE("CRC-64 has the published check value") {
  CHECK(crc_of("123456789") == 0x995dc9bbdf1939fau);
  CHECK(crc_of("") == 0);
}

TEST_CASE("eight bytes at once are eight bytes one by one, in any pieces") {
  rota_test::random_source rng(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> data(static_cast<std::size_t>(rng.below(100)));
    for (std::byte& b : data) b = static_cast<std::byte>(rng.bits());
    const std::uint64_t whole = crc64(data.data(), data.size());
    CHECK(whole == slow_crc(data));
    const auto cut = static_cast<std::size_t>(rng.between(0, static_cast<int>(data.size())));
    const std::uint64_t first = crc64(data.data(), cut);
    CHECK(crc64(data.data() + cut, data.size() - cut, first) == whole);
  }
}

TEST_CASE("a changed byte always shows") {
  rota_test::random_source rng(2);
  std::vector<std::byte> data(300);
  for (std::byte& b : data) b = static_cast<std::byte>(rng.bits());
  const std::uint64_t good = crc64(data.data(), data.size());
  for (std::byte& b : data) {
    const std::byte before = b;
    b ^= static_cast<std::byte>(rng.between(1, 255));
    CHECK(crc64(data.data(), data.size()) != good);
    b = before;
  }
}
