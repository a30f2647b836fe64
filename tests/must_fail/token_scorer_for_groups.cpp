// expect: rota: groups<Scorer, Budget> needs a group scorer first
#include <rota/rota.hpp>

using op = rota::attention<rota::groups<rota::key_norm, rota::keep_ratio>>;
op::params p;
