#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <rota/core/config.hpp>
#include <rota/core/status.hpp>

namespace rota {

using index_t = std::int64_t;

/// A strided view of caller-owned memory: pointer, extents, strides in elements (all 64 bit).
/// The last dimension must be contiguous wherever an operator reads rows; operators check it.
template <class T, int Rank>
struct view {
  T* data = nullptr;
  std::array<index_t, Rank> extent{};
  std::array<index_t, Rank> stride{};

  view() = default;

  /// A contiguous row-major view.
  template <class... Extents>
  requires(sizeof...(Extents) == Rank) explicit view(T* p, Extents... extents)
      : data(p), extent{static_cast<index_t>(extents)...} {
    std::uint64_t step = 1;  // extents that nothing can have wrap; check_view() refuses them
    for (int i = Rank - 1; i >= 0; --i) {
      stride[i] = static_cast<index_t>(step);
      step *= static_cast<std::uint64_t>(extent[i]);
    }
  }

  view(T* p, std::array<index_t, Rank> extents, std::array<index_t, Rank> strides)
      : data(p), extent(extents), stride(strides) {}

  /// A view of T converts to a view of const T.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
      view(const view<U, Rank>& other)  // NOLINT: implicit as T* to const T* is
      : data(other.data), extent(other.extent), stride(other.stride) {}

  template <class... Indices>
  requires(sizeof...(Indices) == Rank) T& operator()(Indices... indices) const {
    const std::array<index_t, Rank> at{static_cast<index_t>(indices)...};
    index_t offset = 0;
    for (int i = 0; i < Rank; ++i) offset += at[i] * stride[i];
    return data[offset];
  }

  /// Pointer to the row at the given leading indices.
  template <class... Indices>
  requires(sizeof...(Indices) == Rank - 1) T* row(Indices... indices) const {
    return &(*this)(indices..., 0);
  }

  bool empty() const {
    for (index_t e : extent)
      if (e == 0) return true;
    return false;
  }
};

template <class T, class... Extents>
view(T*, Extents...) -> view<T, static_cast<int>(sizeof...(Extents))>;

/// Half-open range of addresses, for overlap checks.
struct byte_range {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;

  byte_range() = default;
  byte_range(const void* p, std::size_t bytes)
      : begin(static_cast<const std::byte*>(p)), end(p == nullptr ? begin : begin + bytes) {}

  friend bool overlaps(const byte_range& a, const byte_range& b) {
    return a.begin != a.end && b.begin != b.end && a.begin < b.end && b.begin < a.end;
  }
};

/// The addresses that a view can touch.
template <class T, int Rank>
byte_range range_of(const view<T, Rank>& v) {
  if (v.data == nullptr || v.empty()) return {};
  index_t last = 0;
  for (int i = 0; i < Rank; ++i) last += (v.extent[i] - 1) * v.stride[i];
  return {v.data, static_cast<std::size_t>(last + 1) * sizeof(T)};
}

/// Whether the last element of a view that is not empty can be addressed in bytes.
template <class T, int Rank>
bool is_addressable(const view<T, Rank>& v) {
  index_t last = 1;
  for (int i = 0; i < Rank; ++i) {
    index_t part = 0;
    if (__builtin_mul_overflow(v.extent[i] - 1, v.stride[i], &part) ||
        __builtin_add_overflow(last, part, &last))
      return false;
  }
  return last <= INT64_MAX / static_cast<index_t>(sizeof(T));
}

/// Checks what every operator needs of a view: extents not negative, a pointer where there is
/// something to read, non-negative strides, a contiguous last dimension, addresses that exist.
template <class T, int Rank>
status check_view(const view<T, Rank>& v, const char* name) {
  for (index_t e : v.extent)
    if (e < 0) return {errc::bad_shape, name};
  if (v.empty()) return {};
  if (v.data == nullptr) return {errc::null_view, name};
  if (v.stride[Rank - 1] != 1 && v.extent[Rank - 1] > 1) return {errc::bad_stride, name};
  for (int i = 0; i < Rank; ++i)
    if (v.stride[i] < 0) return {errc::bad_stride, name};
  if (!is_addressable(v)) return {errc::bad_shape, name};
  return {};
}

/// As check_view, and no two indices may name the same element in the written view.
template <class T, int Rank>
status check_output(const view<T, Rank>& v, const char* name) {
  if (status s = check_view(v, name); !s) return s;
  if (v.empty()) return {};
  // Rows are disjoint when, sorted by stride, each stride spans the extent below it.
  std::array<int, Rank> order{};
  for (int i = 0; i < Rank; ++i) order[i] = i;
  for (int i = 1; i < Rank; ++i)
    for (int j = i; j > 0 && v.stride[order[j]] < v.stride[order[j - 1]]; --j) {
      const int t = order[j];
      order[j] = order[j - 1];
      order[j - 1] = t;
    }
  index_t span = 1;
  for (int i : order) {
    if (v.extent[i] > 1 && v.stride[i] < span) return {errc::bad_stride, name};
    span += (v.extent[i] - 1) * v.stride[i];
  }
  return {};
}

}  // namespace rota
