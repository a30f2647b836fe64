// The course of a fit, look by look: what it printed, kept as data and as a picture.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rota_lm {

/// Steps are kept as floats in a state file, which count to here without a gap.
inline constexpr std::size_t largest_step = 1 << 24;

/// One look at the held-out texts. Losses are listwise cross-entropies.
struct fit_look {
  std::size_t step = 0;
  float training = 0;  ///< mean of the steps since the look before; NaN at the start
  float held_out = 0;
};

using fit_course = std::vector<fit_look>;

/// A JSON document: `run` in words; the rows in the order of their steps; the step whose weights
/// were kept.
std::string fit_json(const fit_course& course, const std::string& run);

/// Loss against steps, training and held out. The course has a look at least.
std::string fit_svg(const fit_course& course);

}  // namespace rota_lm
