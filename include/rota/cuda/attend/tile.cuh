#pragma once

#include <rota/cuda/attend/segment.cuh>
#include <rota/cuda/ptx/async_copy.cuh>

namespace rota::cuda {

/// A tile as it lies in shared memory. Chunk c of row j is at rows + j * stride + ((c ^ (j & bits))
/// * 16).
struct tile_rows {
  ptx::shared_address at = 0;
  std::uint32_t stride = 0;
  int bits = 0;

  ROTA_DEVICE ptx::shared_address chunk(int j, int c) const {
    return at + static_cast<std::uint32_t>(j) * stride +
           static_cast<std::uint32_t>(c ^ (j & bits)) * chunk_bytes;
  }
  /// The rows from row j on, a multiple of 8.
  ROTA_DEVICE tile_rows from(int j) const {
    return {at + static_cast<std::uint32_t>(j) * stride, stride, bits};
  }
};

template <class Swizzle>
struct tile_view {
  int tokens = 0;
  tile_rows keys;
  tile_rows values;      ///< where `sliced` is false
  bool sliced = false;   ///< token-major: the slices of a token's groups, one behind the other
  int slice_chunks = 0;  ///< of all slices
  ptx::shared_address slices = 0;
  ptx::shared_array<group_mask> masks;
  ptx::shared_array<std::uint16_t> starts;
  ptx::shared_address codes = 0;               ///< sliced, with a low-rank fill
  int code_chunks = 0;                         ///< of a token
  ptx::shared_array<position_t> positions{0};  ///< of a record
  bool has_positions = false;
  index_t first_position = 0;  ///< of rows, which follow each other

  ROTA_DEVICE index_t position(int j) const {
    return has_positions ? index_t{positions[j]} : first_position + j;
  }
  ROTA_DEVICE ptx::shared_address slice_chunk(int c) const {
    return slices + static_cast<std::uint32_t>(Swizzle::slice_chunk(c, slice_chunks)) * chunk_bytes;
  }
};

/// The view of a record that has been copied to `at`. Without tokens where its header says what
/// cannot be, which is reported.
template <class Swizzle>
ROTA_DEVICE tile_view<Swizzle> view_record(ptx::shared_address at, const record_shape& shape,
                                           std::uint32_t* fault) {
  const std::uint32_t head = ptx::shared_load<std::uint32_t>(at);
  const index_t tokens = head & 0xffffu;
  const auto order = static_cast<value_order>(head >> 16 & 0xffu);
  const index_t slices = ptx::shared_load<std::uint32_t>(at + 4);
  if (tokens == 0) return {};
  if (tokens > record_tokens || slices * shape.slice_bytes() > tokens * shape.value_bytes()) {
    report(fault, errc::bad_store, culprit::store);
    return {};
  }
  const record_layout layout = layout_record(shape, order, tokens, slices);
  const auto key_bytes = static_cast<std::uint32_t>(shape.key_bytes());
  const auto value_bytes = static_cast<std::uint32_t>(shape.value_bytes());
  const auto place = [at](index_t offset) { return at + static_cast<std::uint32_t>(offset); };
  tile_view<Swizzle> t;
  t.tokens = static_cast<int>(tokens);
  t.keys = {place(layout.keys), key_bytes,
            Swizzle::row_bits(static_cast<int>(key_bytes) / chunk_bytes)};
  t.values = {place(layout.values), value_bytes,
              Swizzle::row_bits(static_cast<int>(value_bytes) / chunk_bytes)};
  t.sliced = order != value_order::whole;
  t.slice_chunks = static_cast<int>(slices * shape.slice_bytes() / chunk_bytes);
  t.slices = place(layout.values);
  t.masks.at = place(layout.masks);
  t.starts.at = place(layout.starts);
  t.codes = place(layout.codes);
  t.code_chunks = static_cast<int>(shape.code_bytes() / chunk_bytes);
  t.positions.at = place(layout.positions);
  t.has_positions = true;
  return t;
}

}  // namespace rota::cuda
