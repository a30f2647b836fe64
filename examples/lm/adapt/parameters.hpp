// Where each trained tensor lies among the parameters of all: one run of numbers, so that an
// optimizer, a file and a gradient see the same order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "adapt/setting.hpp"

namespace rota_lm {

/// Parts that may learn at rates of their own.
enum class parameter_kind { lora, lora_router, value_router, fill };

class parameter_layout {
 public:
  struct tensor {
    std::string name;
    parameter_kind kind;
    std::size_t first;
    std::vector<std::uint64_t> shape;
    std::size_t size() const;
  };

  parameter_layout(const model_config& c, const adapter_setting& s);

  const model_config& config() const { return config_; }
  const adapter_setting& setting() const { return setting_; }
  std::size_t size() const { return size_; }
  const std::vector<tensor>& tensors() const { return tensors_; }

  bool has(std::size_t layer, target t) const { return layers_[layer].adapters.count(t) != 0; }
  rota::train::lora_shape lora(target t) const;
  bool has_codec() const;

  /// Views into all parameters, or into their gradient.
  template <class T>
  rota::train::lora_views<T> adapter(std::size_t layer, target t, T* all) const {
    return {lora(t), all + layers_[layer].adapters.at(t)};
  }
  template <class T>
  rota::view<T, 2> router_weight(std::size_t layer, T* all) const {
    return rota::view<T, 2>(all + layers_[layer].router, setting_.outputs(config_),
                            config_.hidden_size);
  }
  template <class T>
  rota::view<T, 1> router_bias(std::size_t layer, T* all) const {
    const std::size_t outputs = setting_.outputs(config_);
    return rota::view<T, 1>(all + layers_[layer].router + outputs * config_.hidden_size, outputs);
  }
  template <class T>
  rota::view<T, 3> encode(std::size_t layer, T* all) const {
    if (!has_codec()) return {};
    return rota::view<T, 3>(all + layers_[layer].fill, config_.kv_heads, setting_.fill_rank,
                            config_.head_dim);
  }
  template <class T>
  rota::view<T, 3> decode(std::size_t layer, T* all) const {
    if (!has_codec()) return {};
    return encode(layer, all + config_.kv_heads * setting_.fill_rank * config_.head_dim);
  }

 private:
  struct places {
    std::size_t router = 0, fill = 0;
    std::map<target, std::size_t> adapters;
  };

  void add(std::string name, parameter_kind kind, std::vector<std::uint64_t> shape);
  void add_adapter(std::size_t layer, target t, const std::string& prefix);

  model_config config_;
  adapter_setting setting_;
  std::size_t size_ = 0;
  std::vector<tensor> tensors_;
  std::vector<places> layers_;
};

}  // namespace rota_lm
