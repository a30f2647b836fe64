// expect: rota: attention<...> has two stores; it takes one
#include <rota/rota.hpp>

using op = rota::attention<rota::packed<rota::bf16, 16>, rota::zero_fill, rota::dense<rota::f16>>;
op::params p;
