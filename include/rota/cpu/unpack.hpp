#pragma once

#include <algorithm>

#include <rota/cpu/backend.hpp>
#include <rota/cpu/pack/record_writer.hpp>
#include <rota/store/packed.hpp>

namespace rota::cpu {

/// Rows of one kv head that unpack_head() writes; each holds token_count(store, h) entries.
template <codec C>
struct unpacked_head {
  using E = plain_type_of<C>;
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
template <codec C>
struct stand_ins {
  const float* means = nullptr;              ///< [d_v], or null
  const code_type_of<C>* decoder = nullptr;  ///< [rank, d_v], or null
  index_t rank = 0;

  /// Of value c of token j.
  float at(const block<C>& b, index_t d_v, index_t j, index_t c) const {
    float sum = means != nullptr ? means[c] : 0.0f;
    for (index_t r = 0; r < rank; ++r)
      sum += static_cast<float>(b.codes[j * rank + r]) * static_cast<float>(decoder[r * d_v + c]);
    return sum;
  }
};

/// Expands n stored numbers; `scale`: theirs, 1 where there is none.
template <class From, element To>
void unpack_row(const From* from, float scale, To* to, index_t n) {
  if constexpr (std::is_same_v<From, int8>)
    for (index_t i = 0; i < n; ++i) to[i] = static_cast<To>(from[i].bits * scale);
  else
    convert_row(from, to, n);
}

inline float scale_at(const scale_type* scales, index_t i) {
  return scales == nullptr ? 1.0f : static_cast<float>(scales[i]);
}

template <codec C>
void unpack_whole(const block<C>& b, index_t d_v, index_t width, plain_type_of<C>* values) {
  // A whole row at once where its groups have no scales.
  const index_t step = b.value_scales != nullptr ? width : d_v;
  for (index_t j = 0; j < b.count; ++j)
    for (index_t c = 0; c < d_v; c += step)
      unpack_row(b.values + j * b.value_stride + c,
                 scale_at(b.value_scales, j * b.value_scale_stride + c / width),
                 values + j * d_v + c, step);
}

template <codec C>
void unpack_values(const block<C>& b, const stand_ins<C>& fill, index_t d_v, index_t width,
                   plain_type_of<C>* values, group_mask* available) {
  using E = plain_type_of<C>;
  const index_t groups = d_v / width;
  if (b.order == value_order::whole) {
    unpack_whole(b, d_v, width, values);
    std::fill_n(available, b.count, full_mask(static_cast<int>(groups)));
    return;
  }
  for (index_t j = 0; j < b.count; ++j) {
    available[j] = 0;
    for (index_t c = 0; c < d_v; ++c) values[j * d_v + c] = static_cast<E>(fill.at(b, d_v, j, c));
  }
  const auto put = [&](index_t j, index_t g, index_t slice) {
    available[j] = static_cast<group_mask>(available[j] | (1u << g));
    const value_type_of<C>* from = b.values + slice * width;
    const float scale = scale_at(b.value_scales, slice);
    E* to = values + j * d_v + g * width;
    if (fill.rank == 0) return unpack_row(from, scale, to, width);
    for (index_t c = 0; c < width; ++c) {  // a residual
      float residual = 0;
      unpack_row(from + c, scale, &residual, 1);
      to[c] = static_cast<E>(fill.at(b, d_v, j, g * width + c) + residual);
    }
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
template <codec E, int W>
void unpack_head(const backend&, const packed_store<E, W>& store, index_t h,
                 const unpacked_head<E>& out) {
  const index_t d_k = store.d_k();
  const index_t d_v = store.d_v();
  index_t at = 0;
  for (index_t i = 0; i < store.block_count(h); ++i) {
    const block<E> b = store.block_at(h, i);
    for (index_t j = 0; j < b.count; ++j) {
      out.positions[at + j] = b.position(j);
      detail::unpack_row(b.keys + j * b.key_stride, detail::scale_at(b.key_scales, j),
                         out.keys + (at + j) * d_k, d_k);
    }
    const detail::stand_ins<E> fill{store.means(h), store.decoder(h), store.code_rank()};
    detail::unpack_values(b, fill, d_v, W, out.values + at * d_v, out.available + at);
    at += b.count;
  }
}

}  // namespace rota::cpu
