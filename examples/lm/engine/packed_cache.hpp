// The model's cache after compression: one packed store a layer.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/backend.hpp>
#include <rota/store/any_store.hpp>
#include <rota/store/packed.hpp>

#include "engine/attention_seam.hpp"
#include "engine/cache_memory.hpp"
#include "engine/config.hpp"
#include "engine/scratch_memory.hpp"

namespace rota_lm {

/// The stores that this engine decodes from: bf16 in groups of 8 or 16, and float, which is exact.
using packed_layer =
    rota::any_store<rota::packed_store<rota::bf16, 16>, rota::packed_store<rota::bf16, 8>,
                    rota::packed_store<float, 4>>;

/// Compressed stores, decoded through Rota and appended to. Filled layer by layer by add_layer().
class packed_cache final : public attention_cache {
 public:
  explicit packed_cache(const model_config& config, rota::cpu::backend backend = {},
                        memory_account* account = nullptr)
      : config_(config), backend_(backend), account_(account) {}

  /// Memory for the next layer's store, counted in the account; fill it and call add_layer().
  cache_buffer allocate(std::size_t bytes) const { return cache_buffer(bytes, account_); }

  /// Takes over the next layer's store and the memory it lies in.
  void add_layer(cache_buffer memory, const packed_layer& store);

  std::size_t next_position() const override { return length_; }
  void advance(std::size_t tokens) override { length_ += tokens; }
  /// Throws "tail is full" when more tokens are appended than the stores were made for.
  void attend(const attention_call& call) override;
  /// Only appended tokens can be forgotten.
  void truncate(std::size_t length) override;

  const model_config& config() const { return config_; }
  std::size_t layers() const { return stores_.size(); }
  const packed_layer& store(std::size_t layer) const { return stores_.at(layer); }

  /// Bytes of all stores without their tails, everything else counted.
  std::size_t sealed_bytes() const;
  /// Bytes of all memory that this cache holds, tails included.
  std::size_t allocated_bytes() const;

 private:
  model_config config_;
  rota::cpu::backend backend_;
  memory_account* account_;
  std::vector<cache_buffer> memory_;
  std::vector<packed_layer> stores_;
  scratch_memory scratch_;
  std::size_t length_ = 0;
};

}  // namespace rota_lm
