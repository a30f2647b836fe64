// The headline runs of the query-independent results as lines: perplexity against what is kept.
#pragma once

#include <string>
#include <vector>

#include "results/independent_report.hpp"

namespace rota_lm::results {

/// An SVG page: by shares of the value groups, and by bytes of the whole cache. Mean over the seeds
/// as a line, each seed as a mark; dense LoRA as a dashed line.
std::string independent_chart(const std::vector<adaptation_group>& all);

}  // namespace rota_lm::results
