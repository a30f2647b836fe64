#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <cuda_runtime.h>

#include <rota/cuda/ptx/memory.cuh>

// What a benchmark needs of a GPU: memory, random numbers, time.

namespace bench {

inline void expect(cudaError_t e, const char* what) {
  if (e == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(e));
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

/// Numbers of mean 0 and variance 1, uniform, from their place and a seed.
template <class T>
__global__ void fill_kernel(T* out, std::size_t n, unsigned seed) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n;
       i += std::size_t{gridDim.x} * blockDim.x) {
    unsigned x = static_cast<unsigned>(i) * 2654435761u + seed * 40503u;
    x ^= x >> 16;
    x *= 2246822519u;
    x ^= x >> 13;
    x *= 3266489917u;
    x ^= x >> 16;
    out[i] = static_cast<T>((static_cast<float>(x) * 0x1p-32f - 0.5f) * 3.4641016f);
  }
}
template <class T>
void fill(const memory<T>& m, unsigned seed) {
  fill_kernel<<<1024, 256>>>(m.data(), m.size(), seed);
  expect(cudaDeviceSynchronize(), "fill");
}

/// Median microseconds of a graph that `record(stream)` makes, over the replays of it.
template <class Record>
double median_microseconds(Record&& record, int replays) {
  cudaStream_t stream;
  expect(cudaStreamCreate(&stream), "stream");
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
  record(stream);
  expect(cudaStreamEndCapture(stream, &graph), "end of capture");
  expect(cudaGraphInstantiate(&exec, graph, 0), "graph");
  cudaEvent_t begin, end;
  expect(cudaEventCreate(&begin), "event");
  expect(cudaEventCreate(&end), "event");
  std::vector<double> times;
  for (int i = -3; i < replays; ++i) {
    expect(cudaEventRecord(begin, stream), "record");
    expect(cudaGraphLaunch(exec, stream), "replay");
    expect(cudaEventRecord(end, stream), "record");
    expect(cudaEventSynchronize(end), "replay");
    float ms = 0;
    expect(cudaEventElapsedTime(&ms, begin, end), "time");
    if (i >= 0) times.push_back(1000.0 * static_cast<double>(ms));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                   times.end());
  return times[times.size() / 2];
}

/// Bytes per second, read plus written, of copies inside the device's memory.
inline double copy_bytes_per_second() {
  const std::size_t bytes = std::size_t{1} << 30;
  const memory<char> from(bytes), to(bytes);
  fill(from, 1);
  const double us = median_microseconds(
      [&](cudaStream_t s) {
        expect(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, s), "copy");
      },
      20);
  return 2.0 * static_cast<double>(bytes) / us * 1e6;
}

}  // namespace bench
