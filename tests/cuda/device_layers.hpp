#pragma once

#include <algorithm>
#include <deque>
#include <vector>

#include "cuda/gpu.hpp"
#include "support/select_layers.hpp"

namespace rota_test {

/// A layer's memory on the device.
struct device_select_layer {
  device_array<float> token_scores, group_scores;
  device_array<rota::group_mask> available, masks;
  device_array<std::uint8_t> types;
  device_array<rota::position_t> positions;
  device_array<std::int32_t> indices, counts;
  rota::select_problem problem;
  rota::layer_scores scores;
  rota::selection out;

  explicit device_select_layer(const select_layer_memory& host)
      : token_scores(host.token_scores),
        group_scores(host.group_scores),
        available(host.available),
        masks(host.masks),
        types(host.types),
        positions(host.positions),
        indices(host.indices),
        counts(host.counts),
        problem(host.problem),
        scores(host.scores),
        out(host.out) {
    scores.tokens.data = token_scores.data();
    scores.groups.data = group_scores.data();
    if (problem.available.data != nullptr) problem.available.data = available.data();
    if (problem.types.data != nullptr) problem.types.data = types.data();
    if (problem.positions.data != nullptr) problem.positions.data = positions.data();
    out.indices.data = indices.data();
    out.masks.data = masks.data();
    out.counts.data = counts.data();
  }
  void copy_to(select_layer_memory& host) const {
    const auto copy = [](const auto& from, auto& to) {
      const auto values = from.download();
      std::copy(values.begin(), values.end(), to.begin());  // views point into it
    };
    copy(indices, host.indices);
    copy(masks, host.masks);
    copy(counts, host.counts);
  }
};

/// A span of layers on the device. Its outputs start untouched.
struct device_select_layers {
  std::deque<device_select_layer> layers;
  std::vector<rota::select_problem> problems;
  std::vector<rota::layer_scores> scores;
  std::vector<rota::selection> out;

  /// `lengths`: if not null, the layers' tokens in device memory.
  explicit device_select_layers(select_layers& span, const std::int32_t* lengths = nullptr) {
    for (auto& l : span.layers) {
      l.reset();
      layers.emplace_back(l);
      problems.push_back(layers.back().problem);
      if (lengths != nullptr) problems.back().device_tokens = lengths + problems.size() - 1;
      scores.push_back(layers.back().scores);
      out.push_back(layers.back().out);
    }
  }
  void copy_to(select_layers& span) const {
    for (std::size_t l = 0; l < layers.size(); ++l) layers[l].copy_to(span.layers[l]);
  }
};

}  // namespace rota_test
