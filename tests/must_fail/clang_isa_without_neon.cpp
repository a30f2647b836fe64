// expect: rota: rota/cpu needs Advanced SIMD (NEON), which every AArch64 has
// flags: --target=aarch64-linux-gnu -march=armv8-a+nosimd
#include <rota/cpu/simd/isa.hpp>
