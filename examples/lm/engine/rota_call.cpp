#include "engine/rota_call.hpp"

#include "engine/error.hpp"

namespace rota_lm {

void require(const rota::status& s, const std::string& where) {
  if (s.ok()) return;
  fail(where, (*s.argument != '\0' ? std::string(s.argument) + ": " : "") + s.what());
}

rota_views::rota_views(const attention_call& call, const model_config& c) {
  const auto n = static_cast<rota::index_t>(call.tokens);
  const auto d = static_cast<rota::index_t>(c.head_dim);
  const auto q_heads = static_cast<rota::index_t>(c.q_heads);
  const auto kv_heads = static_cast<rota::index_t>(c.kv_heads);
  q = rota::view<const float, 3>(call.q.data(), n, q_heads, d);
  k = rota::view<const float, 3>(call.k.data(), n, kv_heads, d);
  v = rota::view<const float, 3>(call.v.data(), n, kv_heads, d);
  out = rota::view<float, 3>(call.out.data(), n, q_heads, d);
}

rota::attend_params attend_params_of(const model_config& c, std::size_t layer) {
  rota::attend_params p;
  p.sliding_window = static_cast<rota::index_t>(c.sliding_window[layer]);
  return p;
}

}  // namespace rota_lm
