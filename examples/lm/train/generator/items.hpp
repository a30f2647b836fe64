// Statements that can be asked for: needles, assignments of variables, facts about people. Each
// item holds its statements, the question, the answer that continues the question word for word,
// and (facts) the options.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "prng.hpp"

namespace rota_lm::synth {

struct item {
  std::vector<std::string> statements;  // in the order in which they must stand in the context
  std::string question;                 // starts with a blank, ends with the first words of
                                        // the statement, so that its continuation is the answer
  std::string answer;                   // starts with a blank
  std::vector<std::string> choices;     // options as answers, each starting with a blank
  std::size_t correct = 0;
};

// "The amber fox guards kettle harp globe." Adjectives, animals and objects are drawn without
// replacement, so no two needles of a context share a word and an answer has one source only.
std::vector<item> make_needles(prng& random, split s, std::size_t count);

// "Let kilo be 4821." "Let nova be kilo." "What is nova? Let nova be" -> " kilo. Let kilo be 4821".
// The answer walks the chain back to the number, so every hop must have survived.
std::vector<item> make_chains(prng& random, split s, std::size_t count);

// One fact each for (name, verb), asked for by four options:
// "What does Clara eat? A figs B rice C soup D eggs. Clara eats" -> " figs"
std::vector<item> make_choice_items(prng& random, split s, std::size_t count);

}  // namespace rota_lm::synth
