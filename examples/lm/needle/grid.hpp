// The cells of the grid: a needle task for each length and depth.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/model.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/options.hpp"
#include "evaluate/results.hpp"

namespace rota_lm::needle {

struct setting {
  eval::options how;
  std::vector<std::size_t> lengths;  ///< tokens of the context, rising
  std::vector<double> depths;        ///< 0 is the begin of the context, rising
};

std::string depth_name(double depth);
std::string cell_name(std::size_t length, double depth);

/// The grid's own arguments; the others are evaluate's.
setting parse(int argc, const char* const* argv);

/// The rows of evaluate, with a task for each cell.
eval::evaluation evaluate(const setting& s, const model& lm, const tokenizer& text);

}  // namespace rota_lm::needle
