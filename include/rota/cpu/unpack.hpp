#pragma once

#include <rota/cpu/backend.hpp>
#include <rota/cpu/pack/record_writer.hpp>
#include <rota/store/packed.hpp>

namespace rota::cpu {

/// Rows of one kv head that unpack_head() writes; each holds token_count(store, h) entries.
template <element E>
struct unpacked_head {
  E* keys = nullptr;                ///< [n, d_k]
  E* values = nullptr;              ///< [n, d_v], dropped groups filled
  position_t* positions = nullptr;  ///< [n]
  group_mask* available = nullptr;  ///< [n], the groups that are really stored
};

/// Tokens of kv head h, sealed and tail.
template <kv_store Store>
index_t token_count(const Store& store, index_t h) {
  index_t n = 0;
  for (index_t i = 0; i < store.block_count(h); ++i) n += store.block_at(h, i).count;
  return n;
}

namespace detail {

/// What the slots of a head's dropped groups hold.
template <element E>
struct stand_ins {
  const float* means = nullptr;  ///< [d_v], or null
  const E* decoder = nullptr;    ///< [rank, d_v], or null
  index_t rank = 0;

  /// Of value c of token j.
  float at(const block<E>& b, index_t d_v, index_t j, index_t c) const {
    float sum = means != nullptr ? means[c] : 0.0f;
    for (index_t r = 0; r < rank; ++r)
      sum += static_cast<float>(b.codes[j * rank + r]) * static_cast<float>(decoder[r * d_v + c]);
    return sum;
  }
};

template <element E>
void unpack_values(const block<E>& b, const stand_ins<E>& fill, index_t d_v, index_t width,
                   E* values, group_mask* available) {
  const index_t groups = d_v / width;
  if (b.order == value_order::whole) {
    for (index_t j = 0; j < b.count; ++j) {
      convert_row(b.values + j * b.value_stride, values + j * d_v, d_v);
      available[j] = full_mask(static_cast<int>(groups));
    }
    return;
  }
  for (index_t j = 0; j < b.count; ++j) {
    available[j] = 0;
    for (index_t c = 0; c < d_v; ++c) values[j * d_v + c] = static_cast<E>(fill.at(b, d_v, j, c));
  }
  const auto put = [&](index_t j, index_t g, index_t slice) {
    available[j] = static_cast<group_mask>(available[j] | (1u << g));
    const E* from = b.values + slice * width;
    E* to = values + j * d_v + g * width;
    if (fill.rank == 0) return convert_row(from, to, width);
    for (index_t c = 0; c < width; ++c)  // a residual
      to[c] = static_cast<E>(fill.at(b, d_v, j, g * width + c) + static_cast<float>(from[c]));
  };
  if (b.order == value_order::group_major) {
    for (index_t g = 0; g < groups; ++g)
      for (index_t slice = b.starts[g]; slice < b.starts[g + 1]; ++slice)
        put(b.members[slice], g, slice);
    return;
  }
  for (index_t j = 0; j < b.count; ++j) {
    index_t slice = b.starts[j];
    for (index_t g = 0; g < groups; ++g)
      if ((b.masks[j] >> g) & 1) put(j, g, slice++);
  }
}

}  // namespace detail

/// Expands kv head h of a packed store into plain rows, in order of position.
template <element E, int W>
void unpack_head(const backend&, const packed_store<E, W>& store, index_t h,
                 const unpacked_head<E>& out) {
  const index_t d_k = store.d_k();
  const index_t d_v = store.d_v();
  index_t at = 0;
  for (index_t i = 0; i < store.block_count(h); ++i) {
    const block<E> b = store.block_at(h, i);
    for (index_t j = 0; j < b.count; ++j) {
      out.positions[at + j] = b.position(j);
      convert_row(b.keys + j * b.key_stride, out.keys + (at + j) * d_k, d_k);
    }
    const detail::stand_ins<E> fill{store.means(h), store.decoder(h), store.code_rank()};
    detail::unpack_values(b, fill, d_v, W, out.values + at * d_v, out.available + at);
    at += b.count;
  }
}

}  // namespace rota::cpu
