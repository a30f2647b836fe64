#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <cuda_runtime.h>

#include <rota/cuda/backend.cuh>
#include <rota/cuda/fault.cuh>

// What a benchmark needs of a GPU: memory, random numbers, the device itself.

namespace bench {

inline void expect(cudaError_t e, const char* what) {
  if (e == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s (%s, %d)\n", what, cudaGetErrorString(e), cudaGetErrorName(e),
               static_cast<int>(e));
  std::exit(1);
}

inline void expect(const rota::status& s, const char* what) {
  if (s.ok()) return;
  std::fprintf(stderr, "%s: %s (%s)\n", what, s.what(), s.argument);
  std::exit(1);
}

template <class T>
class memory {
 public:
  explicit memory(std::size_t n) : size_(n) {
    expect(cudaMalloc(&data_, n * sizeof(T)), "cudaMalloc");
  }
  ~memory() { cudaFree(data_); }
  memory(memory&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
  }
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::vector<T> download() const {
    std::vector<T> values(size_);
    expect(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), "download");
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

/// Numbers of mean 0 and a standard deviation, uniform, from their place and a seed.
template <class T>
__global__ void fill_kernel(T* out, std::size_t n, unsigned seed, float deviation) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n;
       i += std::size_t{gridDim.x} * blockDim.x) {
    unsigned x = static_cast<unsigned>(i) * 2654435761u + seed * 40503u;
    x ^= x >> 16;
    x *= 2246822519u;
    x ^= x >> 13;
    x *= 3266489917u;
    x ^= x >> 16;
    out[i] = static_cast<T>((static_cast<float>(x) * 0x1p-32f - 0.5f) * 3.4641016f * deviation);
  }
}
template <class T>
void fill(T* to, std::size_t n, unsigned seed, float deviation = 1) {
  fill_kernel<<<1024, 256>>>(to, n, seed, deviation);
  expect(cudaGetLastError(), "fill");
  expect(cudaDeviceSynchronize(), "fill");
}
template <class T>
void fill(const memory<T>& m, unsigned seed) {
  fill(m.data(), m.size(), seed);
}

/// The GPU that a benchmark runs on. Where there is none, the program ends.
struct machine {
  cudaDeviceProp device = properties();
  int driver = 0;  ///< the newest CUDA that the driver knows
  memory<std::uint32_t> fault{1};
  rota::cuda::backend backend;

  machine() {
    expect(cudaDriverGetVersion(&driver), "driver");
    expect(cudaMemset(fault.data(), 0, 4), "fault word");
    backend = rota::cuda::make_backend(nullptr, fault.data());
    if (backend.device.architecture >= rota::cuda::ptx::bulk_architecture &&
        backend.device.code_architecture < rota::cuda::ptx::bulk_architecture) {
      std::fprintf(stderr, "built for older GPUs than this one: build with -arch=native\n");
      std::exit(1);
    }
  }

  /// Ends the program if a kernel reported anything.
  void expect_no_fault() const {
    expect(rota::cuda::status_of_fault(fault.download()[0]), "fault");
  }
  /// Copies of something that are together at least four times the L2 cache.
  int copies_of(double bytes) const {
    return 1 + static_cast<int>(4.0 * device.l2CacheSize / bytes);
  }

 private:
  static cudaDeviceProp properties() {
    cudaDeviceProp p{};
    expect(cudaGetDeviceProperties(&p, 0), "no GPU, nothing measured");
    return p;
  }
};

}  // namespace bench
