// expect: rota: AVX-512 needs BW, DQ, VL, FMA and F16C too; use -march=x86-64-v4 or x86-64-v3
// flags: -march=knl
#include <rota/cpu/simd/isa.hpp>
