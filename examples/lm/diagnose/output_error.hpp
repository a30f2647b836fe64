// How far attention over what was kept is from attention over everything.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/packed_cache.hpp"
#include "evaluate/prefill.hpp"

namespace rota_lm::diagnose {

/// By kv head: max |difference| / max |dense output| of a query row, the mean over the rows, of the
/// last window queries that belong to compressed tokens. Inputs are the dense run's, so that each
/// layer is judged alone.
std::vector<double> output_errors(const eval::prefilled& prefill,
                                  const dense_cache<eval::element>& dense,
                                  const packed_cache& packed, const model_config& c,
                                  std::size_t layer, std::size_t taken_back);

}  // namespace rota_lm::diagnose
