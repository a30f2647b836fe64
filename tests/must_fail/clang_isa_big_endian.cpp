// expect: rota: rota/cpu needs a little-endian machine
// flags: --target=aarch64_be-linux-gnu
#include <rota/cpu/simd/isa.hpp>
