#include "adapt/outcome.hpp"

#include <utility>

#include "engine/parallel.hpp"

namespace rota_lm {

std::vector<span_threshold> calibrate_spans(const adapt_options& o, const trainer<float>& t,
                                            const adaptation_texts& texts, std::size_t groups) {
  std::vector<span_threshold> out;
  if (!is_calibrated(o.setting.groups)) return out;
  std::vector<std::vector<float>> levels(o.calibration);
  in_parallel(o.training.threads, o.calibration, [&](std::size_t i) {
    const cut_ids cut = texts.calibration(o.calibration + i, o.spans);
    const training_sequence<float> s{cut.ids, cut.prefix, {}};
    static_cast<void>(
        t.model_of().run(t.state().parameters, s, {}, 0, {}, [&](std::size_t, const auto& layer) {
          add_levels(o.setting, layer.router_logits, groups, levels[i]);
        }));
  });
  std::vector<float> all;
  for (const auto& part : levels) all.insert(all.end(), part.begin(), part.end());
  for (const double rho : o.training.rhos)
    if (rho < 1) out.push_back({rho, threshold_for(all, rho)});
  if (o.setting.groups == group_rule::entropy_span)
    for (span_threshold& of_rho : out) of_rho.threshold = -of_rho.threshold;  // a mass
  return out;
}

routed_values routing_of(const adapt_options& o, const parameter_layout& layout,
                         const group_order& fixed, const value_basis& basis,
                         std::span<const float> parameters) {
  const model_config& c = layout.config();
  routed_values out;
  out.basis = basis;
  value_routing& v = out.routing;
  const adapter_setting& s = o.setting;
  v.rule = s.groups;
  v.form = s.router;
  v.fill = s.groups == group_rule::all ? fill_kind::zero : s.fill;
  v.group_width = s.group_width;
  v.fill_rank = layout.has_codec() ? s.fill_rank : 0;
  v.sinks = s.sinks;
  v.window = s.window;
  const auto copy = [](const auto& w) {
    std::size_t n = 1;
    for (const rota::index_t e : w.extent) n *= static_cast<std::size_t>(e);
    return std::vector<float>(w.data, w.data + n);
  };
  for (std::size_t l = 0; l < c.layers; ++l) {
    layer_routing layer;
    if (is_learned(s.groups)) {
      layer.router_weight = copy(layout.router_weight(l, parameters.data()));
      layer.router_bias = copy(layout.router_bias(l, parameters.data()));
    }
    if (layout.has_codec()) {
      layer.encode = copy(layout.encode(l, parameters.data()));
      layer.decode = copy(layout.decode(l, parameters.data()));
    }
    for (std::size_t h = 0; h < c.kv_heads && s.groups == group_rule::fixed_groups; ++h) {
      const std::vector<int>& order = fixed[l * c.kv_heads + h];
      layer.order.insert(layer.order.end(), order.begin(), order.end());
    }
    v.layers.push_back(std::move(layer));
  }
  return out;
}

lora_adapters adapters_of(const parameter_layout& layout, const value_basis& basis,
                          std::span<const float> parameters) {
  lora_adapters::map_type out;
  for (std::size_t l = 0; l < layout.config().layers; ++l)
    for (const target t : layout.setting().targets) {
      if (!layout.has(l, t)) continue;
      const lora_shape shape = layout.lora(t);
      const float* at = layout.adapter(l, t, parameters.data()).down.data;
      out.emplace(std::pair(l, t), adapter_weights{shape, {at, at + shape.parameters()}});
    }
  return fold(lora_adapters(std::move(out)), layout.config(), basis, true);
}

}  // namespace rota_lm
