// The model's cache after compression: one packed store a layer, each of any of a list of
// operators.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

/// Compressed stores, decoded through Rota and appended to; satisfies attention_cache. Filled layer
/// by layer by add_layer(); see compress.hpp. `Ops` are rota::attention<...> with packed stores.
template <class... Ops>
class packed_cache {
 public:
  using any_op = rota::any_op<Ops...>;
  using any_store = typename any_op::store_type;

  explicit packed_cache(const model_config& config, rota::cpu::backend backend = {},
                        memory_account* account = nullptr)
      : config_(config), backend_(backend), account_(account) {}

  /// Memory for the next layer's store, counted in the account; fill it and call add_layer().
  cache_buffer allocate(std::size_t bytes) const { return cache_buffer(bytes, account_); }

  /// Takes over the next layer's store and the memory it lies in.
  void add_layer(cache_buffer memory, const any_store& store) {
    if (stores_.size() == config_.layers) fail("packed cache", "has all its layers");
    if (stores_.empty()) length_ = static_cast<std::size_t>(store.next_position());
    if (static_cast<std::size_t>(store.next_position()) != length_) {
      fail("packed cache", "layers of different lengths");
    }
    memory_.push_back(std::move(memory));
    stores_.push_back(store);
  }

  std::size_t next_position() const { return length_; }
  void advance(std::size_t tokens) { length_ += tokens; }

  /// Throws "tail is full" when more tokens are appended than the stores were made for.
  void attend(const attention_call& call) {
    const std::string where = "packed cache, layer " + std::to_string(call.layer);
    if (call.layer >= stores_.size()) fail(where, "was not compressed");
    any_store& store = stores_[call.layer];
    const rota_views views(call, config_);
    require(rota::append(backend_, store, views.k, views.v), where);
    const rota::attend_params p = attend_params_of(config_, call.layer);
    const rota::workspace ws =
        scratch_.at_least(rota::attend_workspace_bytes(backend_, views.q, store, views.out, {}, p));
    require(rota::attend(backend_, views.q, store, views.out, {}, p, ws), where);
  }

  /// Forgets all tokens from position `length` on; only appended ones can be forgotten.
  void truncate(std::size_t length) {
    if (length > length_) fail("packed cache", "cannot be truncated to more than it holds");
    const auto n = static_cast<rota::index_t>(length_ - length);
    for (any_store& store : stores_) {
      require(rota::roll_back(backend_, store, n), "packed cache");
    }
    length_ = length;
  }

  const model_config& config() const { return config_; }
  std::size_t layers() const { return stores_.size(); }
  const any_store& store(std::size_t layer) const { return stores_.at(layer); }

  /// Bytes of all stores without their tails, everything else counted.
  std::size_t sealed_bytes() const {
    std::size_t bytes = 0;
    for (const any_store& store : stores_) {
      bytes +=
          static_cast<std::size_t>(store.visit([](const auto& s) { return s.sealed_bytes(); }));
    }
    return bytes;
  }
  /// Bytes of all memory that this cache holds, tails included.
  std::size_t allocated_bytes() const {
    std::size_t bytes = 0;
    for (const cache_buffer& buffer : memory_) bytes += buffer.size();
    return bytes;
  }

 private:
  model_config config_;
  rota::cpu::backend backend_;
  memory_account* account_;
  std::vector<cache_buffer> memory_;
  std::vector<any_store> stores_;
  scratch_memory scratch_;
  std::size_t length_ = 0;
};

}  // namespace rota_lm
