#pragma once

// All of Rota that needs only the C++ library: policies, stores and the attention operator. A
// backend does the work: include <rota/cpu/cpu.hpp> too and pass a rota::cpu::backend first.
//
//   score -> budget -> selection -> store -> attend
//
// Begin reading at attend/attention.hpp.

#include <rota/attend/any_op.hpp>
#include <rota/attend/attention.hpp>
#include <rota/attend/fit_ratio.hpp>
#include <rota/attend/merge.hpp>
#include <rota/attend/read_select.hpp>
#include <rota/budget/adaptive_span.hpp>
#include <rota/budget/at_most.hpp>
#include <rota/budget/entropy_span.hpp>
#include <rota/budget/fixed_k.hpp>
#include <rota/budget/global_top_m.hpp>
#include <rota/budget/head_adaptive.hpp>
#include <rota/budget/k_by_type.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/budget/pyramid.hpp>
#include <rota/fill/low_rank.hpp>
#include <rota/fill/mean.hpp>
#include <rota/fill/zero.hpp>
#include <rota/lora/merge.hpp>
#include <rota/lora/projection.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/attention_mass_wo.hpp>
#include <rota/score/critical.hpp>
#include <rota/score/expected_attention.hpp>
#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/lag_kv.hpp>
#include <rota/score/observed_attention.hpp>
#include <rota/score/predictor.hpp>
#include <rota/score/query_statistics.hpp>
#include <rota/score/role_router.hpp>
#include <rota/score/router.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/tova.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/window_sink.hpp>
#include <rota/score/wo_norm.hpp>
#include <rota/store/any_store.hpp>
#include <rota/store/byte_budget.hpp>
#include <rota/store/copy.hpp>
#include <rota/store/layouts.hpp>
#include <rota/store/save.hpp>
#include <rota/store/save_any.hpp>
#include <rota/store/verify.hpp>
