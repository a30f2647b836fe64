// expect: rota: any_op compresses, so each of its operators needs packed<E, W>
#include <rota/rota.hpp>

using whole = rota::attention<rota::dense<rota::bf16>>;
using half = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>>;
rota::any_op<whole, half> layer;
