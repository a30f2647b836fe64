// expect: rota: attention<...> takes token selectors (tokens<Scorer, Budget>), group selectors
#include <rota/rota.hpp>

using op = rota::attention<rota::key_norm, rota::keep_ratio>;
op::params p;
