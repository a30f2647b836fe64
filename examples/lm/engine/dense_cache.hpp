// The model's cache in Rota's dense stores: what a prefill fills and compression reads.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/backend.hpp>
#include <rota/store/dense.hpp>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/config.hpp"
#include "engine/scratch_memory.hpp"

namespace rota_lm {

/// Keys and values of every token, as E, one dense store a layer. Compiled for float, f16 and bf16.
template <rota::element E>
class dense_cache final : public attention_cache {
 public:
  using element_type = E;
  using store_type = rota::dense_store<E>;

  /// Room for `capacity` tokens is allocated at once, and counted in `account`.
  dense_cache(const model_config& config, std::size_t capacity, rota::cpu::backend backend = {},
              memory_account* account = nullptr);

  std::size_t next_position() const override { return length_; }
  void advance(std::size_t tokens) override { length_ += tokens; }
  void attend(const attention_call& call) override;
  void truncate(std::size_t length) override;

  /// Appends tokens to one layer; advance() once for all layers, as with attend().
  [[nodiscard]] rota::status append(std::size_t layer, rota::view<const float, 3> k,
                                    rota::view<const float, 3> v);

  const model_config& config() const { return config_; }
  const rota::cpu::backend& backend() const { return backend_; }
  std::size_t layers() const { return stores_.size(); }
  const store_type& store(std::size_t layer) const { return stores_.at(layer); }

  /// Bytes of the tokens that are held, room not counted: what compression is compared with.
  std::size_t used_bytes() const {
    return layers() * length_ * config_.kv_heads * config_.head_dim * 2 * sizeof(E);
  }

 private:
  E* add_buffer(std::size_t bytes, memory_account* account);

  model_config config_;
  rota::cpu::backend backend_;
  std::vector<cache_buffer> memory_;
  std::vector<store_type> stores_;
  scratch_memory scratch_;
  std::size_t length_ = 0;
};

extern template class dense_cache<float>;
extern template class dense_cache<rota::f16>;
extern template class dense_cache<rota::bf16>;

}  // namespace rota_lm
