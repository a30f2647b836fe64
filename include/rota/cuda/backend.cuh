#pragma once

#include <cstdint>

#include <rota/core/types.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cuda/runtime.cuh>

namespace rota::cuda {

/// First argument of every operator on a GPU: where to run, and where to report. Operators launch
/// on the stream and return; they never allocate, wait, or read device memory from the host, so
/// every call can be captured into a graph.
struct backend {
  /// The host reads nothing of what operators write.
  static constexpr bool in_device_memory = true;

  stream_t stream = nullptr;
  /// One word of device memory, zero at first (fault.cuh).
  std::uint32_t* fault = nullptr;
  device_traits device;
  /// Whether calls ask the runtime where each pointer lies: a call of it for each pointer. A
  /// captured graph pays it once.
  bool check_pointers = true;
};

/// A backend for the current device.
inline backend make_backend(stream_t stream, std::uint32_t* fault) {
  return {stream, fault, current_device()};
}

/// The oldest architecture that the kernels are written for.
inline constexpr int least_architecture = 80;

inline status check_backend(const backend& b) {
  if (b.device.architecture < least_architecture) return {errc::unsupported, "backend"};
  if (b.device.multiprocessors < 1) return {errc::bad_count, "backend"};
  if (b.fault == nullptr) return {errc::null_view, "backend"};
  if (reinterpret_cast<std::uintptr_t>(b.fault) % alignof(std::uint32_t) != 0)
    return {errc::bad_alignment, "backend"};
  if (b.check_pointers && !is_device_memory(b.fault, b.device.device))
    return {errc::wrong_memory, "backend"};
  if (!is_current(b.device)) return {errc::unsupported, "backend"};
  return {};
}

/// Whether memory of a call lies on the backend's device. Null is no memory and passes.
inline status check_memory(const backend& b, const void* p, const char* name) {
  if (p != nullptr && b.check_pointers && !is_device_memory(p, b.device.device))
    return {errc::wrong_memory, name};
  return {};
}

/// Memory of a call, for check_memory().
struct named_memory {
  const void* memory;
  std::size_t alignment;
  const char* name;

  template <class T>
  named_memory(const T* p, const char* n) : memory(p), alignment(alignof(T)), name(n) {}
};

inline status check_memory(const backend& b, const named_memory& m) {
  if (reinterpret_cast<std::uintptr_t>(m.memory) % m.alignment != 0)
    return {errc::bad_alignment, m.name};
  return check_memory(b, m.memory, m.name);
}

/// check_memory() of a view, and the alignment of its rows to `alignment` bytes.
template <class T, int Rank>
status check_rows(const backend& b, const view<T, Rank>& v, std::size_t alignment,
                  const char* name) {
  if (status s = check_view(v, name); !s) return s;
  if (v.empty()) return {};
  if (reinterpret_cast<std::uintptr_t>(v.data) % alignment != 0) return {errc::bad_alignment, name};
  for (int i = 0; i + 1 < Rank; ++i)
    if (v.extent[i] > 1 &&
        v.stride[i] * static_cast<index_t>(sizeof(T)) % static_cast<index_t>(alignment) != 0)
      return {errc::bad_alignment, name};
  return check_memory(b, v.data, name);
}

}  // namespace rota::cuda
