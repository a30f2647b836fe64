// expect: rota: tokens<Scorer, Budget> needs a budget with a count or a threshold
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::key_norm, rota::k_by_type<2>>>;
op::params p;
