// expect: rota: rota/cpu needs SSE2, which every x86-64 has
// flags: -mno-sse2
#include <rota/cpu/simd/isa.hpp>
