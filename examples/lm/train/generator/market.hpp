// The other domain, that rota-synth was not trained on: a market, told in known words but in
// unknown sentences. Every trader opens one stall, and all later deals repeat parts of that
// sentence in another order: predicting them well needs its words.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lexicon.hpp"
#include "prng.hpp"

namespace rota_lm::synth {

// Sentences as story's: a blank before, a full stop behind.
class market {
 public:
  market(prng& random, split which);

  std::string sentence();

 private:
  struct trader {
    std::string_view name, goods, from, to, adjective, animal, food;
    std::string price;
  };

  void add_trader();

  bool known(std::string_view name) const;

  std::string_view pick(lexicon::words from, std::string_view of, std::string_view link);

  std::string stall();

  std::string deal();

  prng& random_;
  split split_;
  std::vector<trader> traders_;
  std::size_t opened_ = 0;
};

}  // namespace rota_lm::synth
