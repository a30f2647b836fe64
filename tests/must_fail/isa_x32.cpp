// expect: rota: rota/cpu needs a 64-bit machine
// flags: -mx32
#include <rota/cpu/simd/isa.hpp>
