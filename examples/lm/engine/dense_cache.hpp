// The model's cache in Rota's dense stores: what a prefill fills and compression reads.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

/// Keys and values of every token, as E, one dense store a layer; satisfies attention_cache.
template <rota::element E>
class dense_cache {
 public:
  using element_type = E;
  using store_type = rota::dense_store<E>;

  /// Room for `capacity` tokens is allocated at once, and counted in `account`.
  dense_cache(const model_config& config, std::size_t capacity, rota::cpu::backend backend = {},
              memory_account* account = nullptr)
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

  std::size_t next_position() const { return length_; }
  void advance(std::size_t tokens) { length_ += tokens; }

  /// Appends tokens to one layer; advance() once for all layers, as with attend().
  [[nodiscard]] rota::status append(std::size_t layer, rota::view<const float, 3> k,
                                    rota::view<const float, 3> v) {
    return op::append(backend_, stores_.at(layer), k, v);
  }

  void attend(const attention_call& call) {
    const std::string where = "dense cache, layer " + std::to_string(call.layer);
    store_type& store = stores_.at(call.layer);
    const rota_views views(call, config_);
    require(append(call.layer, views.k, views.v), where);
    const rota::attend_item<store_type> item{views.q, &store, views.out, {}};
    const rota::attend_params p = attend_params_of(config_, call.layer);
    const rota::workspace ws =
        scratch_.at_least(op::attend_workspace_bytes(backend_, {&item, 1}, p));
    require(op::attend(backend_, item, p, ws), where);
  }

  /// Forgets all tokens from position `length` on.
  void truncate(std::size_t length) {
    if (length > length_) fail("dense cache", "cannot be truncated to more than it holds");
    for (store_type& store : stores_) store.length = static_cast<rota::index_t>(length);
    length_ = length;
  }

  const model_config& config() const { return config_; }
  const rota::cpu::backend& backend() const { return backend_; }
  std::size_t layers() const { return stores_.size(); }
  const store_type& store(std::size_t layer) const { return stores_.at(layer); }

  /// Bytes of the tokens that are held, room not counted: what compression is compared with.
  std::size_t used_bytes() const {
    return layers() * length_ * config_.kv_heads * config_.head_dim * 2 * sizeof(E);
  }

 private:
  using op = rota::attention<rota::dense<E>>;

  E* add_buffer(std::size_t bytes, memory_account* account) {
    memory_.emplace_back(bytes, account);
    return reinterpret_cast<E*>(memory_.back().data());
  }

  model_config config_;
  rota::cpu::backend backend_;
  std::vector<cache_buffer> memory_;
  std::vector<store_type> stores_;
  scratch_memory scratch_;
  std::size_t length_ = 0;
};

}  // namespace rota_lm
