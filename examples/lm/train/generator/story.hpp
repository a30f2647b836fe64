// Story filler: a small cast whose homes, trades, pets and friends come back again and again, and
// songs that are sung twice. Predicting it well needs what was said long before.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "lexicon.hpp"
#include "prng.hpp"

namespace rota_lm::synth {

std::string join(std::initializer_list<std::string_view> parts);

// Every sentence starts with a blank and ends with a full stop, so token counts of sentences add
// up.
class story {
 public:
  story(prng& random, split which);

  std::string sentence();

 private:
  struct person {
    std::string_view name, home, trade, pet, spot, friend_of;
  };

  void add_person();

  bool known(std::string_view name) const;

  std::string_view pick_for(std::string_view name, lexicon::words from);

  std::string_view other_than(std::string_view name);

  std::string introduce();

  std::string song();

  std::string verse();

  std::string_view next_word(std::string_view word);

  std::string event();

  prng& random_;
  split split_;
  std::vector<person> cast_;
  std::vector<std::string> songs_;
  std::size_t introduced_ = 0;
};

}  // namespace rota_lm::synth
