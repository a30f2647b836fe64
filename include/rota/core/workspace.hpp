#pragma once

#include <cstddef>
#include <cstdint>

#include <rota/core/status.hpp>

namespace rota {

/// Every workspace and every array carved from it starts on such a boundary.
inline constexpr std::size_t workspace_alignment = 64;

/// Scratch memory of one call, owned by the caller. Its contents do not outlive the call.
struct workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

/// Hands out arrays from a workspace. Without memory it only counts, so that the size query and
/// the operator run the same code.
class carver {
 public:
  /// Counts only.
  carver() = default;
  explicit carver(workspace ws)
      : base_(static_cast<std::byte*>(ws.data)), bytes_(ws.bytes), counting_(false) {}

  /// An uninitialised array of n values, or null while counting or when the memory is too small.
  /// More than can be addressed: no memory is ever enough, and bytes() is its largest value.
  template <class T>
  T* take(std::int64_t n) {
    static_assert(alignof(T) <= workspace_alignment);
    const std::size_t at = used_;
    constexpr auto most = static_cast<std::size_t>(INT64_MAX) - workspace_alignment;
    if (n < 0 || static_cast<std::size_t>(n) > most / sizeof(T) || used_ > most) {
      used_ = SIZE_MAX;
      return nullptr;
    }
    const std::size_t size = static_cast<std::size_t>(n) * sizeof(T);
    used_ += (size + workspace_alignment - 1) / workspace_alignment * workspace_alignment;
    if (counting_ || used_ > bytes_ || base_ == nullptr) return nullptr;
    return reinterpret_cast<T*>(base_ + at);
  }

  std::size_t bytes() const { return used_; }

  /// Whether all that was taken fits into aligned memory.
  status check() const {
    if (counting_ || used_ == 0) return {};
    const bool aligned = reinterpret_cast<std::uintptr_t>(base_) % workspace_alignment == 0;
    if (base_ == nullptr || !aligned || used_ > bytes_) return {errc::workspace_too_small, "ws"};
    return {};
  }

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t used_ = 0;
  bool counting_ = true;
};

}  // namespace rota
