#include <rota/cpu/score.hpp>
#include <rota/score/critical.hpp>
#include <rota/score/expected_attention.hpp>
#include <rota/score/key_diff.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/lag_kv.hpp>
#include <rota/score/observed_attention.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/tova.hpp>
#include <rota/score/window_sink.hpp>

#include "engine/error.hpp"
#include "engine/rota_call.hpp"
#include "evaluate/stock_scores.hpp"

namespace rota_lm::eval {
namespace {

/// Calls f.operator()<Scorer>() with the scorer of this name.
template <class F>
void with_token_scorer(token_scorer which, F&& f) {
  switch (which) {
    case token_scorer::window_sink:
      return f.template operator()<rota::window_sink>();
    case token_scorer::key_norm:
      return f.template operator()<rota::key_norm>();
    case token_scorer::key_diff:
      return f.template operator()<rota::key_diff>();
    case token_scorer::expected_attention:
      return f.template operator()<rota::expected_attention>();
    case token_scorer::snapkv:
      return f.template operator()<rota::snapkv>();
    case token_scorer::tova:
      return f.template operator()<rota::tova>();
    case token_scorer::observed_attention:
      return f.template operator()<rota::observed_attention>();
    case token_scorer::lag_kv:
      return f.template operator()<rota::lag_kv>();
    case token_scorer::critical:
      return f.template operator()<rota::critical<rota::expected_attention>>();
    case token_scorer::predictor:
    case token_scorer::oracle:
      fail("scoring", "the predictor and the oracle are no stock scorers");
  }
}

}  // namespace

void score_tokens(token_scorer which, const stock_context& c, rota::index_t sinks,
                  const rota::cpu::backend& backend, scratch_memory& scratch,
                  const rota::view<float, 2>& out, const std::string& where) {
  with_token_scorer(which, [&]<class Scorer>() {
    typename Scorer::params p;
    if constexpr (requires { p.sinks; }) p.sinks = sinks;
    if constexpr (requires { p.base.use_value_norm; }) {
      p.base.sinks = sinks;
      p.base.use_value_norm = false;  // W_O v stands in its place
    }
    const rota::workspace ws =
        scratch.at_least(rota::cpu::score_tokens_workspace_bytes(backend, Scorer{}, p, c));
    require(rota::cpu::score_tokens(backend, Scorer{}, p, c, out, ws), where);
  });
}

}  // namespace rota_lm::eval
