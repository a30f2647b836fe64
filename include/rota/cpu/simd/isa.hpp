#pragma once

// The instruction set that this translation unit is compiled for, or the sentence that refuses it:
// what is not tested is not compiled. Vectors, and kernels that keep them, live in an inline
// namespace of that name, so that their symbols say what they are made of; templates around them do
// not everywhere (packing, appending). That alone does not make
// objects of different -march options safe to link: what else they share, Eigen above all, has no
// such tag (docs/portability.md).

#if !defined(__GNUC__) || (defined(__clang__) ? __clang_major__ < 14 : __GNUC__ < 12)
#error "rota: rota/cpu needs the vector extensions of g++ 12 or clang 14, or newer"
#elif __SIZEOF_POINTER__ != 8
#error "rota: rota/cpu needs a 64-bit machine"
#elif __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rota: rota/cpu needs a little-endian machine"

#elif defined(__x86_64__)
#if !defined(__SSE2__)
#error "rota: rota/cpu needs SSE2, which every x86-64 has; drop the option that forbids it"
#elif defined(__AVX512F__) && !(defined(__AVX512BW__) && defined(__AVX512DQ__) && \
                                defined(__AVX512VL__) && defined(__FMA__) && defined(__F16C__))
#error "rota: AVX-512 needs BW, DQ, VL, FMA and F16C too; use -march=x86-64-v4 or x86-64-v3"
#elif defined(__AVX__) && !(defined(__AVX2__) && defined(__FMA__) && defined(__F16C__))
#error "rota: AVX needs AVX2, FMA and F16C too; use -march=x86-64-v3 or x86-64-v2"
#elif defined(__AVX512F__) && defined(__AVX512BF16__) && defined(__AMX_TILE__) && \
    defined(__AMX_BF16__) && defined(__linux__)
#define ROTA_CPU_ISA avx512_amx
#define ROTA_CPU_AMX  // the matrix unit; Linux lends it on request
#elif defined(__AVX512F__)
#define ROTA_CPU_ISA avx512
#elif defined(__AVX__)
#define ROTA_CPU_ISA avx2
#else
#define ROTA_CPU_ISA sse2
#endif

#elif defined(__aarch64__)
#if !defined(__ARM_NEON)
#error "rota: rota/cpu needs Advanced SIMD (NEON), which every AArch64 has; drop +nosimd"
#else
#define ROTA_CPU_ISA neon
#endif

#else
#error "rota: rota/cpu knows x86-64 and AArch64 only"
#endif

#if !defined(ROTA_CPU_ISA)
#define ROTA_CPU_ISA refused  // so that the sentence is not followed by a hundred others
#endif

namespace rota::cpu::inline ROTA_CPU_ISA::simd {

#if defined(__AVX512F__)
/// Floats in one native vector.
inline constexpr int lanes = 16;
/// Vectors that a kernel may keep as running sums without spilling.
inline constexpr int accumulators = 16;
#elif defined(__AVX__)
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
