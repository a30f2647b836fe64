// expect: rota: AVX needs AVX2, FMA and F16C too; use -march=x86-64-v3 or x86-64-v2
// flags: -march=sandybridge
#include <rota/cpu/simd/isa.hpp>
