#pragma once

// The instruction set that this translation unit is compiled for. Code below cpu/simd and
// cpu/attend differs with it, so it lives in an inline namespace of that name: two objects built
// with different -march options then keep their own copies instead of sharing whichever the
// linker meets first. (Everything else of a program, Eigen above all, has no such tag: one -march
// per binary is still the rule.)

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__linux__)
#define ROTA_CPU_ISA avx512_amx
#define ROTA_CPU_AMX
#else
#define ROTA_CPU_ISA avx512
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define ROTA_CPU_ISA avx2
#elif defined(__aarch64__)
#define ROTA_CPU_ISA neon
#else
#define ROTA_CPU_ISA generic
#endif

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
/// Floats in one native vector.
inline constexpr int lanes = 16;
/// Vectors that a kernel may keep as running sums without spilling.
inline constexpr int accumulators = 16;
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
inline constexpr int lanes = 8;
inline constexpr int accumulators = 8;
#elif defined(__aarch64__)
inline constexpr int lanes = 4;
inline constexpr int accumulators = 16;
#else
inline constexpr int lanes = 4;
inline constexpr int accumulators = 8;
#endif

}  // namespace rota::cpu::inline ROTA_CPU_ISA::simd
