// expect: rota: a value group must be a multiple of 16 bytes
#include <rota/rota.hpp>

using op = rota::attention<rota::packed<rota::bf16, 12>>;
op::params p;
