// expect: rota: attention<...> has two token selectors; it takes one
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::tokens<rota::window_sink, rota::keep_ratio>>;
op::params p;
