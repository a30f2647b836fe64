#pragma once

#include <rota/attend/attention.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "report.cuh"

// The operator that the benchmarks have in common, and a batch of one layer's keys and values.

namespace bench {

using rota::bf16;
inline constexpr index_t d = 128;
inline constexpr int width = 16;

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<bf16, width>, rota::mean_fill>;

inline op::params params_of(const kept& k) {
  op::params p;
  p.tokens.budget.ratio = k.tokens;
  p.groups.budget.ratio = k.groups;
  p.store.tail_capacity = 0;
  return p;
}

/// Bytes of a batch's dense keys and values.
inline double dense_bytes(const shape& s) {
  return 4.0 * static_cast<double>(s.batch * s.context * s.kv_heads * d);
}

/// Keys and values of a batch, head by head: [batch][kv_heads][context][d].
struct rows_of_batch {
  shape s;
  memory<bf16> keys, values;

  rows_of_batch(const shape& shape_, unsigned seed)
      : s(shape_),
        keys(static_cast<std::size_t>(s.batch * s.context * s.kv_heads * d)),
        values(keys.size()) {
    fill(keys, seed);
    fill(values, seed + 1);
  }
  rota::context<bf16> context(index_t i) const {
    const index_t offset = i * s.context * s.kv_heads * d;
    return context_of(keys.data() + offset, values.data() + offset, s);
  }
  static rota::context<bf16> context_of(const bf16* keys, const bf16* values, const shape& s) {
    rota::context<bf16> c;
    c.keys = rota::view<const bf16, 3>(keys, {s.context, s.kv_heads, d}, {d, s.context * d, 1});
    c.values = rota::view<const bf16, 3>(values, {s.context, s.kv_heads, d}, {d, s.context * d, 1});
    return c;
  }
};

/// The header of a packed store in device memory. Waits for the device.
inline rota::packed_header header_of(const op::store_type& store) {
  rota::packed_header h;
  expect(cudaMemcpy(&h, store.data, sizeof h, cudaMemcpyDeviceToHost), "header");
  return h;
}

/// Host memory, aligned as stores are.
struct aligned {
  std::byte* data;
  std::size_t size;

  explicit aligned(std::size_t n)
      : data(static_cast<std::byte*>(std::aligned_alloc(64, (n / 64 + 1) * 64))), size(n) {}
  ~aligned() { std::free(data); }
  aligned(const aligned&) = delete;
  aligned& operator=(const aligned&) = delete;
  rota::workspace get() const { return {data, size}; }
};

/// A packed store on the host, in the CPU's order.
struct host_copy {
  aligned bytes;
  rota::cuda::packed<bf16, width>::host_form::store_type store;

  host_copy(const std::byte* device_memory, std::size_t n)
      : bytes(n), store{bytes.data, static_cast<index_t>(n)} {
    expect(cudaMemcpy(bytes.data, device_memory, n, cudaMemcpyDeviceToHost), "store");
    expect(rota::cuda::to_host_form<rota::cuda::banked>(store), "host form");
  }
};

}  // namespace bench
