#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rota {
namespace detail {

/// The polynomial of ECMA-182, bits reversed: what the xz file format calls CRC64.
inline constexpr std::uint64_t crc64_polynomial = 0xc96c5795d7870f42u;

/// tables[0] is the usual table of one byte; tables[k] is the same byte followed by k zero bytes,
/// so that eight bytes are taken at once.
inline constexpr auto crc64_tables = [] {
  std::array<std::array<std::uint64_t, 256>, 8> tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? crc64_polynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}();

}  // namespace detail

/// CRC-64/XZ of n bytes that follow bytes whose checksum is `before` (0: none): every change of up
/// to 64 neighbouring bits shows. The same number on every machine.
constexpr std::uint64_t crc64(const std::byte* data, std::size_t n, std::uint64_t before = 0) {
  const auto& tables = detail::crc64_tables;
  std::uint64_t crc = ~before;
  for (; n >= 8; n -= 8, data += 8) {
    std::uint64_t next = 0;
    for (std::size_t i = 0; i < 8; ++i)
      next ^= tables[7 - i][((crc >> (8 * i)) ^ static_cast<std::uint64_t>(data[i])) & 0xff];
    crc = next;
  }
  for (; n > 0; --n, ++data)
    crc = (crc >> 8) ^ tables[0][(crc ^ static_cast<std::uint64_t>(*data)) & 0xff];
  return ~crc;
}

}  // namespace rota
