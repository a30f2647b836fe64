#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cuda/backend.cuh>
#include <rota/cuda/fault.cuh>

#if !defined(__CUDACC__)
#include "simt/emulator.hpp"
#endif

// One source for both machines: with a plain compiler the tests run under the emulator, with nvcc
// on the GPU.

namespace rota_test {

#if defined(__CUDACC__)
inline constexpr bool emulated = false;
#else
inline constexpr bool emulated = true;
#endif

/// n values in device memory of just that size.
template <class T>
class device_array {
 public:
  explicit device_array(std::size_t n) : size_(n) {
#if defined(__CUDACC__)
    REQUIRE(cudaMalloc(&data_, n * sizeof(T) + 1) == cudaSuccess);
    REQUIRE(cudaMemset(data_, 0xff, n * sizeof(T)) == cudaSuccess);
#else
    data_ = static_cast<T*>(simt::global_memory::instance().allocate(n * sizeof(T)));
#endif
  }
  explicit device_array(const std::vector<T>& values) : device_array(values.size()) {
    upload(values);
  }
  ~device_array() {
#if defined(__CUDACC__)
    cudaFree(data_);
#else
    simt::global_memory::instance().free(data_);
#endif
  }
  device_array(const device_array&) = delete;
  device_array& operator=(const device_array&) = delete;

  T* data() const {
    return data_;
  }
  std::size_t size() const {
    return size_;
  }

  void upload(const std::vector<T>& values) {
    REQUIRE(values.size() <= size_);
#if defined(__CUDACC__)
    REQUIRE(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyDefault) ==
            cudaSuccess);
#else
    std::copy(values.begin(), values.end(), data_);
#endif
  }
  /// Waits for the device.
  std::vector<T> download() const {
#if defined(__CUDACC__)
    std::vector<T> values(size_);
    REQUIRE(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDefault) == cudaSuccess);
    return values;
#else
    return std::vector<T>(data_, data_ + size_);
#endif
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

/// A GPU for one test: its backend, and what went wrong on it.
class gpu {
 public:
  /// Emulated: under the schedule of the seed, as that architecture.
  explicit gpu([[maybe_unused]] std::uint64_t seed = 0, [[maybe_unused]] int architecture = 90)
#if defined(__CUDACC__)
      : fault_(std::vector<std::uint32_t>{0}){}
#else
      : emulator_(seed, architecture), fault_(std::vector<std::uint32_t>{0}) {
  }
#endif

        rota::cuda::backend backend() const {
    return rota::cuda::make_backend(nullptr, fault_.data());
  }

  /// What kernels reported in the fault word. A kernel that broke a rule of the machine fails the
  /// test.
  rota::status result() const {
#if defined(__CUDACC__)
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
#else
    REQUIRE(emulator_.fault() == "");
#endif
    return rota::cuda::status_of_fault(fault_.download()[0]);
  }
  void clear_fault() {
    fault_.upload({0});
  }

#if !defined(__CUDACC__)
  const simt::emulator& emulator() const {
    return emulator_;
  }

 private:
  simt::emulator emulator_;
#endif

 private:
  device_array<std::uint32_t> fault_;
};

/// Calls f(seed) for the schedules that every test runs under: the adversarial ones and a random
/// one. On a GPU the hardware schedules, once.
template <class F>
void for_each_schedule(F&& f) {
  for (std::uint64_t seed = 0; seed < (emulated ? 4 : 1); ++seed) f(seed);
}

/// Makes a call of the runtime fail, as a caller's may have done before, and leaves its error
/// there. Emulated: there is no such thing.
inline void leave_an_error() {
#if defined(__CUDACC__)
  REQUIRE(cudaSetDevice(-1) != cudaSuccess);
  REQUIRE(cudaPeekAtLastError() != cudaSuccess);
#endif
}

/// Scratch memory of just the size that an operator asks for.
class device_workspace {
 public:
  explicit device_workspace(std::size_t bytes) : memory_(bytes) {}
  rota::workspace get() const { return {memory_.data(), memory_.size()}; }

 private:
  device_array<std::byte> memory_;
};

}  // namespace rota_test
