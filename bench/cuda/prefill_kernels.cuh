#pragma once

#include "layer.cuh"

// What stands between the matrix products of a layer: small kernels, one row a block. They take a
// small part of a prefill and are not tuned.

namespace bench {

struct layer_size {
  static constexpr index_t hidden = 4096, q_heads = 32, kv_heads = 8, mlp = 14336;
  static constexpr index_t heads = q_heads + 2 * kv_heads;  ///< of queries, keys and values
  static constexpr index_t qkv = heads * d;
  static_assert(hidden == q_heads * d);
};

inline constexpr int row_threads = 256;

__device__ inline float read(const bf16* p) {
  return static_cast<float>(*p);
}

/// y = x / rms(x), and a copy of x, if that is wanted.
template <int Threads>
__global__ void norm_kernel(const bf16* x, bf16* y, bf16* copy) {
  __shared__ float sums[Threads];
  const index_t row = index_t{blockIdx.x} * layer_size::hidden;
  float sum = 0;
  for (index_t c = threadIdx.x; c < layer_size::hidden; c += Threads) {
    const float value = read(x + row + c);
    sum += value * value;
    if (copy != nullptr) copy[row + c] = x[row + c];
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (unsigned half = Threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  const float scale = rsqrtf(sums[0] / layer_size::hidden + 1e-5f);
  for (index_t c = threadIdx.x; c < layer_size::hidden; c += Threads)
    y[row + c] = bf16(read(x + row + c) * scale);
}
inline void run_norm(cudaStream_t stream, const bf16* x, index_t n, bf16* y, bf16* copy) {
  norm_kernel<row_threads><<<static_cast<unsigned>(n), row_threads, 0, stream>>>(x, y, copy);
  expect(cudaGetLastError(), "norm");
}

/// Rotates queries and keys by their positions, and puts a chunk's rows where they belong: queries
/// as floats, keys and values into the cache [kv_heads, tokens, d].
template <int Threads>
__global__ void place_kernel(const bf16* qkv, index_t first, index_t tokens, float* q, bf16* keys,
                             bf16* values) {
  constexpr index_t half = d / 2;
  const index_t row = blockIdx.x, position = first + row;
  for (index_t i = threadIdx.x; i < layer_size::heads * half; i += Threads) {
    const index_t head = i / half, c = i % half;
    const bf16* const from = qkv + row * layer_size::qkv + head * d + c;
    float a = read(from), b = read(from + half);
    if (head < layer_size::q_heads + layer_size::kv_heads) {
      const float angle = static_cast<float>(position) *
                          powf(10000.0f, -static_cast<float>(c) / static_cast<float>(half));
      const float cosine = cosf(angle), sine = sinf(angle), x = a;
      a = x * cosine - b * sine;
      b = b * cosine + x * sine;
    }
    if (head < layer_size::q_heads) {
      float* const to = q + (row * layer_size::q_heads + head) * d + c;
      to[0] = a;
      to[half] = b;
      continue;
    }
    const index_t kv = (head - layer_size::q_heads) % layer_size::kv_heads;
    bf16* const cache = head < layer_size::q_heads + layer_size::kv_heads ? keys : values;
    bf16* const to = cache + (kv * tokens + position) * d + c;
    to[0] = bf16(a);
    to[half] = bf16(b);
  }
}
inline void run_place(cudaStream_t stream, const bf16* qkv, index_t first, index_t n,
                      index_t tokens, float* q, bf16* keys, bf16* values) {
  place_kernel<row_threads>
      <<<static_cast<unsigned>(n), row_threads, 0, stream>>>(qkv, first, tokens, q, keys, values);
  expect(cudaGetLastError(), "place");
}

/// silu(gate) * up of rows [gate | up], into the gate's place.
template <int Threads>
__global__ void swiglu_kernel(bf16* gate_up) {
  bf16* const row = gate_up + index_t{blockIdx.x} * 2 * layer_size::mlp;
  for (index_t c = threadIdx.x; c < layer_size::mlp; c += Threads) {
    const float gate = read(row + c), up = read(row + layer_size::mlp + c);
    row[c] = bf16(gate / (1 + expf(-gate)) * up);
  }
}
inline void run_swiglu(cudaStream_t stream, bf16* gate_up, index_t n) {
  swiglu_kernel<row_threads><<<static_cast<unsigned>(n), row_threads, 0, stream>>>(gate_up);
  expect(cudaGetLastError(), "swiglu");
}

/// Rows of floats to bf16.
template <int Threads>
__global__ void narrow_kernel(const float* from, bf16* to) {
  const index_t row = index_t{blockIdx.x} * layer_size::hidden;
  for (index_t c = threadIdx.x; c < layer_size::hidden; c += Threads)
    to[row + c] = bf16(from[row + c]);
}
inline void run_narrow(cudaStream_t stream, const float* from, index_t n, bf16* to) {
  narrow_kernel<row_threads><<<static_cast<unsigned>(n), row_threads, 0, stream>>>(from, to);
  expect(cudaGetLastError(), "narrow");
}

}  // namespace bench
