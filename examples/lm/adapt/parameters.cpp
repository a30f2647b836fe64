#include "adapt/parameters.hpp"

#include <utility>

namespace rota_lm {

std::size_t parameter_layout::tensor::size() const {
  std::size_t n = 1;
  for (const std::uint64_t s : shape) n *= static_cast<std::size_t>(s);
  return n;
}

parameter_layout::parameter_layout(const model_config& c, const adapter_setting& s)
    : config_(c), setting_(s) {
  layers_.resize(c.layers);
  for (std::size_t l = 0; l < c.layers; ++l) {
    const std::string prefix = "layers." + std::to_string(l) + ".";
    layers_[l].router = size_;
    if (is_learned(s.groups)) {
      add(prefix + "router.weight", parameter_kind::value_router, {s.outputs(c), c.hidden_size});
      add(prefix + "router.bias", parameter_kind::value_router, {s.outputs(c)});
    }
    layers_[l].fill = size_;
    if (has_codec()) {
      add(prefix + "fill.encode", parameter_kind::fill, {c.kv_heads, s.fill_rank, c.head_dim});
      add(prefix + "fill.decode", parameter_kind::fill, {c.kv_heads, s.fill_rank, c.head_dim});
    }
    for (const target t : s.targets) add_adapter(l, t, prefix);
  }
}

rota::train::lora_shape parameter_layout::lora(target t) const {
  rota::train::lora_shape s = setting_.lora;
  const auto [in, out] = shape_of(t, config_);
  s.in = static_cast<rota::index_t>(in);
  s.out = static_cast<rota::index_t>(out);
  return s;
}

bool parameter_layout::has_codec() const {
  return setting_.groups != group_rule::all && setting_.fill == fill_kind::low_rank;
}

void parameter_layout::add(std::string name, parameter_kind kind,
                           std::vector<std::uint64_t> shape) {
  tensors_.push_back({std::move(name), kind, size_, std::move(shape)});
  size_ += tensors_.back().size();
}

void parameter_layout::add_adapter(std::size_t layer, target t, const std::string& prefix) {
  const rota::train::lora_shape s = lora(t);
  if (s.rank == 0) return;
  layers_[layer].adapters[t] = size_;
  const std::string name = prefix + std::string(target_names[static_cast<std::size_t>(t)].second);
  const auto n = [](auto x) { return static_cast<std::uint64_t>(x); };
  add(name + ".down", parameter_kind::lora, {n(s.rank), n(s.in)});
  add(name + ".up", parameter_kind::lora, {n(s.rank), n(s.out)});
  if (!s.routed()) return;
  add(name + ".router", parameter_kind::lora_router, {n(s.subspaces), n(s.in)});
  add(name + ".router_bias", parameter_kind::lora_router, {n(s.subspaces)});
}

}  // namespace rota_lm
