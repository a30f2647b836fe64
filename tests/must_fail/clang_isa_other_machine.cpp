// expect: rota: rota/cpu knows x86-64 and AArch64 only
// flags: --target=riscv64-linux-gnu
#include <rota/cpu/simd/isa.hpp>
