// Where training begins: adapters that do nothing, routers without a preference, a codec that knows
// the values it will see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "adapt/parameters.hpp"
#include "adapt/value_routing.hpp"
#include "engine/model.hpp"

namespace rota_lm {

/// Second moments of the values of each (layer, kv head) [d, d], over some texts, under the base
/// model.
using value_moments = std::vector<Eigen::MatrixXd>;

value_moments gather_moments(const model& base, const std::vector<std::vector<token_id>>& of);

/// The groups of each (layer, kv head), those of the largest mean square first.
group_order order_by_energy(const value_moments& moments, std::size_t width);

/// Adapters: A random, B zero. Routers: small and random. Codec: both factors are the directions of
/// the largest mean square. T is float or double.
template <class T>
std::vector<T> initial_parameters(const parameter_layout& layout, const value_moments& moments,
                                  std::uint64_t seed);

}  // namespace rota_lm
