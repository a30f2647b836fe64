#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "device.cuh"

// Time on a GPU, and what its memory can do.

namespace bench {

/// A captured graph of several rounds of `record(stream)`, and the time of its replays.
class timed_graph {
 public:
  template <class Record>
  timed_graph(Record&& record, int rounds) {
    expect(cudaStreamCreate(&stream_), "stream");
    expect(cudaEventCreate(&begin_), "event");
    expect(cudaEventCreate(&end_), "event");
    expect(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
    for (int i = 0; i < rounds; ++i) record(stream_);
    expect(cudaStreamEndCapture(stream_, &graph_), "end of capture");
    expect(cudaGraphInstantiate(&exec_, graph_, 0), "graph");
    (void)microseconds();  // the first replay uploads the graph
  }
  ~timed_graph() {
    cudaGraphExecDestroy(exec_);
    cudaGraphDestroy(graph_);
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }
  timed_graph(const timed_graph&) = delete;
  timed_graph& operator=(const timed_graph&) = delete;

  /// Of one replay.
  double microseconds() const {
    float ms = 0;
    expect(cudaEventRecord(begin_, stream_), "record");
    expect(cudaGraphLaunch(exec_, stream_), "replay");
    expect(cudaEventRecord(end_, stream_), "record");
    expect(cudaEventSynchronize(end_), "replay");
    expect(cudaEventElapsedTime(&ms, begin_, end_), "time");
    return 1000.0 * static_cast<double>(ms);
  }

 private:
  cudaStream_t stream_{};
  cudaEvent_t begin_{}, end_{};
  cudaGraph_t graph_{};
  cudaGraphExec_t exec_{};
};

/// A graph works at least this long, so that its launch is not what is measured.
inline constexpr double least_microseconds = 2000;
inline constexpr int most_rounds = 4096;

/// Rounds of a graph, of which `rounds` took `us`, that take at least as long as a graph should.
inline int rounds_for(int rounds, double us) {
  if (us >= least_microseconds) return rounds;
  // Short graphs look longer than they are by their launch, so the next try may be short as well.
  const double factor = std::max(2.0, std::ceil(1.1 * least_microseconds / std::max(us, 1.0)));
  return static_cast<int>(std::min<double>(most_rounds, rounds * factor));
}

/// Median microseconds of what `record(stream)` launches, over replays of a graph that repeats it.
template <class Record>
double median_microseconds(Record&& record, int replays) {
  record(cudaStream_t{});  // kernels are loaded at their first launch, which no graph may do
  expect(cudaDeviceSynchronize(), "first launch");
  auto graph = std::make_unique<timed_graph>(record, 1);
  int rounds = 1;
  for (int next; (next = rounds_for(rounds, graph->microseconds())) != rounds; rounds = next)
    graph = std::make_unique<timed_graph>(record, next);
  std::vector<double> times;
  for (int i = -3; i < replays; ++i) {
    const double us = graph->microseconds();
    if (i >= 0) times.push_back(us / rounds);
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

inline constexpr std::size_t probe_bytes = std::size_t{1} << 30;

/// Bytes per second, read plus written, of copies inside the device's memory.
inline double copy_bytes_per_second() {
  const memory<char> from(probe_bytes), to(probe_bytes);
  fill(from, 1);
  const double us = median_microseconds(
      [&](cudaStream_t s) {
        expect(cudaMemcpyAsync(to.data(), from.data(), probe_bytes, cudaMemcpyDeviceToDevice, s),
               "copy");
      },
      20);
  return 2.0 * static_cast<double>(probe_bytes) / us * 1e6;
}

/// Reads all of `from`, 64 bytes a thread at a time, and writes next to nothing.
template <int Threads>
__global__ void read_kernel(const uint4* from, std::size_t n, unsigned* found) {
  constexpr int loads = 4;
  unsigned all = 0;
  const std::size_t step = std::size_t{gridDim.x} * Threads;
  for (std::size_t i = blockIdx.x * std::size_t{Threads} + threadIdx.x; i < n; i += loads * step) {
    uint4 x[loads];
#pragma unroll
    for (int k = 0; k < loads; ++k)
      x[k] = i + k * step < n ? __ldcs(from + i + k * step) : uint4{0, 0, 0, 0};
#pragma unroll
    for (int k = 0; k < loads; ++k) all ^= x[k].x ^ x[k].y ^ x[k].z ^ x[k].w;
  }
  // Hardly ever true, and the compiler cannot know that: no load is left out.
  if (all == 0x9e3779b9u) *found = all;
}

/// Bytes per second of reading alone, which is what a step of decoding does.
inline double read_bytes_per_second(int multiprocessors) {
  constexpr int threads = 256, blocks_each = 8;
  const memory<uint4> from(probe_bytes / sizeof(uint4));
  const memory<unsigned> found(1);
  fill(reinterpret_cast<float*>(from.data()), probe_bytes / sizeof(float), 2);
  const auto blocks = static_cast<unsigned>(multiprocessors * blocks_each);
  const double us = median_microseconds(
      [&](cudaStream_t s) {
        read_kernel<threads><<<blocks, threads, 0, s>>>(from.data(), from.size(), found.data());
        expect(cudaGetLastError(), "read probe");
      },
      20);
  return static_cast<double>(probe_bytes) / us * 1e6;
}

}  // namespace bench
