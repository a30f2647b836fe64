#pragma once

#include <rota/cuda/ptx/memory.cuh>
#include <rota/cuda/store/swizzle.cuh>
#include <rota/store/layouts.hpp>

namespace rota::cuda {

/// Tokens of a record: what the warps of a block share out at a time.
inline constexpr index_t record_tokens = 64;

/// Handle to a packed store in device memory. The memory is that of rota::packed_store, token-major
/// in records of 64 tokens, but for the order of the chunks inside a record (Swizzle), so that
/// store/host_form.cuh turns a copy of it on the host into a rota::packed_store and back.
///
/// What the host must know to launch is in the handle; what depends on the selection (offsets,
/// counts) is in the header, in device memory, and only kernels read it. pack() fills the handle
/// in; an engine that moves a store copies it.
template <element E, int W, class Swizzle = banked>
struct packed_store {
  using element_type = E;
  using swizzle = Swizzle;
  static constexpr int width = W;

  std::byte* data = nullptr;  ///< device memory, aligned to record_alignment
  index_t capacity_bytes = 0;
  packed_shape shape;
  index_t most_tokens = 0;  ///< sealed tokens of a kv head, at most

  index_t kv_heads() const { return shape.kv_heads; }
  index_t d_k() const { return shape.record.d_k; }
  index_t d_v() const { return shape.record.d_v; }
  index_t group_width() const { return W; }
  index_t tail_capacity() const { return shape.tail_capacity; }
};

/// Store policy: sub-token packed records in device memory. Groups are W elements wide.
template <element E, int W, class Swizzle = banked>
struct packed {
  static_assert(W > 0 && W * sizeof(E) % 16 == 0,
                "rota: a value group must be a multiple of 16 bytes: packed<E, W> needs W * "
                "sizeof(E) % 16 == 0");
  using policy_kind = store_tag;
  using host_form = rota::packed<E, W, value_order::token_major, static_cast<int>(record_tokens)>;
  using params = typename host_form::params;
  using element_type = E;
  using store_type = packed_store<E, W, Swizzle>;
  static constexpr bool selects = true;
  static constexpr index_t width = W;

  static void describe(const params& p, fingerprint& f) { host_form::describe(p, f); }
  static packed_shape shape(index_t kv_heads, index_t d_k, index_t d_v, const params& p,
                            std::uint8_t fill_code, bool has_means, index_t code_rank = 0) {
    return host_form::shape(kv_heads, d_k, d_v, p, fill_code, has_means, code_rank);
  }
};

/// The parts of a packed store's memory, as kernels find them.
struct packed_parts {
  std::byte* data = nullptr;
  index_t kv_heads = 0;

  ROTA_DEVICE packed_header* header() const { return reinterpret_cast<packed_header*>(data); }
  ROTA_DEVICE packed_head* head(index_t h) const {
    return reinterpret_cast<packed_head*>(data + sizeof(packed_header)) + h;
  }
  ROTA_DEVICE std::uint64_t* record_offsets() const {
    return reinterpret_cast<std::uint64_t*>(head(kv_heads));
  }
};

}  // namespace rota::cuda
