// expect: rota: a selector needs a budget second: its policy_kind must be rota::budget_tag
#include <rota/rota.hpp>

using op = rota::attention<rota::tokens<rota::key_norm, rota::key_norm>>;
op::params p;
