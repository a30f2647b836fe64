#pragma once

#include <cstddef>
#include <cstring>

#include <rota/cpu/simd/vec.hpp>

// Stores that go past the caches: for much memory that is written as a whole and not read soon. A
// plain store to a line that is in no cache reads it first.

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

#if defined(__SSE2__)
inline constexpr std::size_t line_bytes = 64;

namespace stream_detail {
/// One line from anywhere to an aligned place.
inline void put_line(std::byte* to, const std::byte* from) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_loadu_si512(from));
#elif defined(__AVX__)
  for (std::size_t i = 0; i < line_bytes; i += 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
#else
  for (std::size_t i = 0; i < line_bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
#endif
}
}  // namespace stream_detail

/// Copies to memory that no other thread writes; whole lines go past the caches.
template <class T>
void stream_copy(T* target, const T* source, std::int64_t n) {
  auto* to = reinterpret_cast<std::byte*>(target);
  const auto* from = reinterpret_cast<const std::byte*>(source);
  std::size_t left = static_cast<std::size_t>(n) * sizeof(T);
  const std::size_t before = (0 - reinterpret_cast<std::uintptr_t>(to)) % line_bytes;
  const std::size_t start = before < left ? before : left;
  __builtin_prefetch(to + left, 1);  // the last line is shared: a miss would hold up all behind it
  std::memcpy(to, from, start);
  to += start;
  from += start;
  for (left -= start; left >= line_bytes; left -= line_bytes) {
    stream_detail::put_line(to, from);
    to += line_bytes;
    from += line_bytes;
  }
  std::memcpy(to, from, left);
}

/// Before another thread is told of what was streamed.
inline void stream_fence() {
  _mm_sfence();
}
#else
template <class T>
void stream_copy(T* target, const T* source, std::int64_t n) {
  std::memcpy(target, source, static_cast<std::size_t>(n) * sizeof(T));
}
inline void stream_fence() {}
#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
