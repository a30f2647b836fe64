#pragma once

#include <functional>

#include "cuda/gpu.hpp"

namespace rota_test {

/// What `record(backend)` launches, captured once into a graph, to be replayed. The emulator has no
/// graphs: there a replay makes the calls again, which shows that a test is written right and
/// nothing about graphs. Tests of graphs are skipped under it, and counted as skipped;
/// `test_cuda --no-skip` runs them.
class captured {
 public:
#if defined(__CUDACC__)
  template <class Record>
  captured(const gpu& g, Record&& record) {
    REQUIRE(cudaStreamCreate(&stream_) == cudaSuccess);
    rota::cuda::backend b = g.backend();
    b.stream = stream_;
    REQUIRE(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    record(b);
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamEndCapture(stream_, &graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&graph_, graph, 0) == cudaSuccess);
    cudaGraphDestroy(graph);
  }
  ~captured() {
    if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
    cudaStreamDestroy(stream_);
  }
  void replay() const {
    REQUIRE(cudaGraphLaunch(graph_, stream_) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream_) == cudaSuccess);
  }
#else
  template <class Record>
  captured(const gpu& g, Record&& record) : replay_([b = g.backend(), record] { record(b); }) {}
  void replay() const {
    replay_();
  }
#endif
  captured(const captured&) = delete;
  captured& operator=(const captured&) = delete;

 private:
#if defined(__CUDACC__)
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
#else
  std::function<void()> replay_;
#endif
};

}  // namespace rota_test
