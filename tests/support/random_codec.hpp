#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <rota/fill/low_rank.hpp>

#include "support/random.hpp"

namespace rota_test {

/// Random factors of which A is small, so that what is rebuilt is about as large as the values.
struct random_codec {
  std::vector<float> encode, decode;
  rota::fill_codec codec;

  random_codec(random_source& rng, rota::index_t kv_heads, rota::index_t rank, rota::index_t d_v) {
    const float unit = 1 / std::sqrt(static_cast<float>(std::max<rota::index_t>(rank * d_v, 1)));
    for (rota::index_t i = 0; i < kv_heads * rank * d_v; ++i) {
      encode.push_back(unit * rng.normal());
      decode.push_back(rng.normal());
    }
    codec.encode = rota::view<const float, 3>(encode.data(), kv_heads, rank, d_v);
    codec.decode = rota::view<const float, 3>(decode.data(), kv_heads, rank, d_v);
  }
  random_codec(const random_codec&) = delete;
  random_codec& operator=(const random_codec&) = delete;
};

}  // namespace rota_test
