#include "engine/dense_cache.hpp"

#include <string>

#include <rota/cpu/append.hpp>
#include <rota/cpu/attend.hpp>

#include "engine/error.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

template <rota::element E>
dense_cache<E>::dense_cache(const model_config& config, std::size_t capacity,
                            rota::cpu::backend backend, memory_account* account)
    : config_(config), backend_(backend) {
  const auto heads = static_cast<rota::index_t>(config.kv_heads);
  const auto tokens = static_cast<rota::index_t>(capacity);
  const auto d = static_cast<rota::index_t>(config.head_dim);
  const std::size_t bytes = config.kv_heads * capacity * config.head_dim * sizeof(E);
  for (std::size_t i = 0; i < config.layers; ++i) {
    store_type store;
    store.keys = rota::view<E, 3>(add_buffer(bytes, account), heads, tokens, d);
    store.values = rota::view<E, 3>(add_buffer(bytes, account), heads, tokens, d);
    stores_.push_back(store);
  }
}

template <rota::element E>
E* dense_cache<E>::add_buffer(std::size_t bytes, memory_account* account) {
  memory_.emplace_back(bytes, account);
  return reinterpret_cast<E*>(memory_.back().data());
}

template <rota::element E>
rota::status dense_cache<E>::append(std::size_t layer, rota::view<const float, 3> k,
                                    rota::view<const float, 3> v) {
  return rota::cpu::append(backend_, stores_.at(layer), k, v);
}

template <rota::element E>
void dense_cache<E>::attend(const attention_call& call) {
  const std::string where = "dense cache, layer " + std::to_string(call.layer);
  store_type& store = stores_.at(call.layer);
  const rota_views views(call, config_);
  require(append(call.layer, views.k, views.v), where);
  const rota::attend_item<store_type> item{views.q, &store, views.out, {}};
  const std::span<const rota::attend_item<store_type>> batch(&item, 1);
  const rota::attend_params p = attend_params_of(config_, call.layer);
  const rota::workspace ws =
      scratch_.at_least(rota::cpu::attend_workspace_bytes(backend_, batch, p));
  require(rota::cpu::attend(backend_, batch, p, ws), where);
}

template <rota::element E>
void dense_cache<E>::truncate(std::size_t length) {
  if (length > length_) fail("dense cache", "cannot be truncated to more than it holds");
  for (store_type& store : stores_) store.length = static_cast<rota::index_t>(length);
  length_ = length;
}

template class dense_cache<float>;
template class dense_cache<rota::f16>;
template class dense_cache<rota::bf16>;

}  // namespace rota_lm
