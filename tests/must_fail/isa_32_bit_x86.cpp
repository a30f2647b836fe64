// expect: rota: rota/cpu needs a 64-bit machine
// flags: -m32
#include <rota/cpu/simd/isa.hpp>
