// expect: rota: rota/cpu needs a 64-bit machine
// flags: --target=armv7-linux-gnueabihf
#include <rota/cpu/simd/isa.hpp>
