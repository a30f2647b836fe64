#pragma once

#include <cstdint>

#include <rota/core/view.hpp>

namespace rota {

/// Which two channels of a head RoPE turns together as pair i of n. Channels from 2 n on are not
/// turned (partial rotary).
enum class rope_pairing : std::uint8_t {
  halves,      ///< (i, i + n): the Hugging Face layout
  interleaved  ///< (2 i, 2 i + 1): the layout of Llama's own weights and of GGUF
};

struct rope_channels {
  index_t low, high;

  ROTA_HD rope_channels(rope_pairing pairing, index_t pair, index_t pairs)
      : low(pairing == rope_pairing::halves ? pair : 2 * pair),
        high(pairing == rope_pairing::halves ? pair + pairs : 2 * pair + 1) {}
};

/// The pair that a channel below 2 n belongs to.
ROTA_HD inline index_t rope_pair_of(rope_pairing pairing, index_t channel, index_t pairs) {
  return pairing == rope_pairing::halves ? channel % pairs : channel / 2;
}

}  // namespace rota
