#pragma once

#include <cstdint>

#include <rota/core/config.hpp>

namespace rota {

/// Integer key of a score: keys order as the scores do, on every machine alike.
/// -0 equals +0; every NaN is below -infinity (key 0).
ROTA_HD inline std::uint32_t score_key(float score) {
  const auto u = bit_cast<std::uint32_t>(score);
  const std::uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0;
  if (magnitude == 0) return 0x80000000u;
  return (u & 0x80000000u) ? ~u : (u | 0x80000000u);
}

}  // namespace rota
