// Runs samples and gathers what diagnose shows.
#pragma once

#include <cstddef>
#include <vector>

#include "diagnose/measures.hpp"
#include "engine/model.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/method.hpp"
#include "evaluate/options.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/sample.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::diagnose {

/// A method at a budget, by layer and kv head.
struct diagnosis {
  eval::row_spec row;
  std::size_t layers = 0, heads = 0, groups = 0;
  std::vector<head_sums> sums;  ///< [layers, heads]
  std::size_t too_small = 0;    ///< samples whose protected tokens did not fit

  const head_sums& at(std::size_t layer, std::size_t head) const;
};

/// The same budgets, ranked by one who knows the future.
eval::method with_oracle(eval::method m);

class gatherer {
 public:
  gatherer(const eval::options& o, const model& lm, const tokenizer& text,
           eval::shared_extras shared);
  std::vector<diagnosis> run();

 private:
  void add(const eval::prepared& sample);
  void add(diagnosis& d, const eval::prepared& sample, eval::prefilled& prefill,
           eval::compressor& compress, const eval::fractions& fitted);
  std::vector<head_view> views(const eval::compressor& c, const eval::prepared& sample) const;

  eval::options options_;
  const model& lm_;
  std::vector<eval::task> tasks_;
  eval::shared_extras shared_;
  std::vector<diagnosis> out_;
};

}  // namespace rota_lm::diagnose
