// expect: rota: rota/cpu needs the vector extensions of g++ 12 or clang 14
// flags: -U__GNUC__
#include <rota/cpu/simd/isa.hpp>
