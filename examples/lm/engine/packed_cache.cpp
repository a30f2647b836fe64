#include "engine/packed_cache.hpp"

#include <string>
#include <utility>

#include <rota/attend/any_op.hpp>
#include <rota/cpu/append.hpp>
#include <rota/cpu/attend.hpp>

#include "engine/error.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

void packed_cache::add_layer(cache_buffer memory, const packed_layer& store) {
  if (stores_.size() == config_.layers) fail("packed cache", "has all its layers");
  if (stores_.empty()) length_ = static_cast<std::size_t>(store.next_position());
  if (static_cast<std::size_t>(store.next_position()) != length_) {
    fail("packed cache", "layers of different lengths");
  }
  memory_.push_back(std::move(memory));
  stores_.push_back(store);
}

void packed_cache::attend(const attention_call& call) {
  const std::string where = "packed cache, layer " + std::to_string(call.layer);
  if (call.layer >= stores_.size()) fail(where, "was not compressed");
  packed_layer& store = stores_[call.layer];
  const rota_views views(call, config_);
  require(rota::append(backend_, store, views.k, views.v), where);
  const rota::attend_params p = attend_params_of(config_, call.layer);
  const rota::workspace ws =
      scratch_.at_least(rota::attend_workspace_bytes(backend_, views.q, store, views.out, {}, p));
  require(rota::attend(backend_, views.q, store, views.out, {}, p, ws), where);
}

void packed_cache::truncate(std::size_t length) {
  if (length > length_) fail("packed cache", "cannot be truncated to more than it holds");
  const auto n = static_cast<rota::index_t>(length_ - length);
  for (packed_layer& store : stores_) require(rota::roll_back(backend_, store, n), "packed cache");
  length_ = length;
}

std::size_t packed_cache::sealed_bytes() const {
  std::size_t bytes = 0;
  for (const packed_layer& store : stores_) {
    bytes += static_cast<std::size_t>(store.visit([](const auto& s) { return s.sealed_bytes(); }));
  }
  return bytes;
}

std::size_t packed_cache::allocated_bytes() const {
  std::size_t bytes = 0;
  for (const cache_buffer& buffer : memory_) bytes += buffer.size();
  return bytes;
}

}  // namespace rota_lm
