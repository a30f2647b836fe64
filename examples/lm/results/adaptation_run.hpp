// One adaptation, trained and measured through the packed store; written down when it is finished.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "results/independent_grid.hpp"

namespace rota_lm::results {

/// What all runs of a grid have in common.
struct adaptation_setting {
  std::string model, journal;
  std::vector<std::string> adapt_words;  ///< beside the grid's: --text, --prefix, ...
  std::vector<std::string> evaluate_words = {"--context", "1024"};
  std::size_t steps = 600, samples = 100;
  std::size_t masked_samples = 8;  ///< run a second time, masked
  std::uint64_t seed = 2;          ///< of the samples; 1 is what rates were chosen on
  int threads = 2;
};

/// An adapted model at one share of groups.
struct adapted_point {
  double rho, kv_bytes_ratio, rho_kept;
  double perplexity;
  double packed_less_masked;  ///< difference of the losses of the same texts, nats a token
};

struct finished_adaptation {
  adaptation_spec spec;
  std::size_t parameters = 0;
  double seconds = 0;  ///< of training, in one piece or the last
  std::vector<adapted_point> points;
};

/// Whether a run is measured at a share of groups.
bool is_measured(const adaptation_spec& spec, double rho);

/// Trains and measures, or reads what an earlier call has written. Stopped in between, a later
/// call goes on from the last state. Where the grid has come to ask for more shares than a file
/// has, what was trained is measured again; shares that it no longer asks for are left out.
finished_adaptation run_adaptation(const adaptation_spec& spec, const adaptation_setting& s,
                                   std::ostream& log);

}  // namespace rota_lm::results
