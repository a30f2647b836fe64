// expect: rota: a dense or paged store keeps everything; a selector needs packed<E, W>
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>, rota::dense<rota::bf16>>;
op::params p;
