// What an adaptation leaves behind: thresholds, routing and adapters, in the form of their files.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "adapt/base.hpp"
#include "adapt/trainer.hpp"
#include "engine/adapters.hpp"
#include "engine/value_routing_file.hpp"

namespace rota_lm {

/// Thresholds that keep rho of the groups of calibration texts, over all layers together.
std::vector<span_threshold> calibrate_spans(const adapt_options& o, const trainer<float>& t,
                                            const adaptation_texts& texts, std::size_t groups);

/// The routing part of what was trained.
routed_values routing_of(const adapt_options& o, const parameter_layout& layout,
                         const group_order& fixed, const value_basis& basis,
                         std::span<const float> parameters);

/// The adapters of what was trained, for the model as its files have it.
lora_adapters adapters_of(const parameter_layout& layout, const value_basis& basis,
                          std::span<const float> parameters);

}  // namespace rota_lm
