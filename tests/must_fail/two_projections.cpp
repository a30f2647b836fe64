// expect: rota: attention<...> has two projections; it takes one
#include <rota/rota.hpp>

using op =
    rota::attention<rota::projection<rota::plain_lora>, rota::projection<rota::routed_lora<8, 2>>>;
op::params p;
