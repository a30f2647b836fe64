// expect: rota: tokens<Scorer, Budget> needs a token scorer first
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::value_norm, rota::keep_ratio>>;
op::params p;
