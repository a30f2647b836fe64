// Statements that can be asked for: needles, assignments of variables, facts about people. Each
// item holds its statements, the question, the answer that continues the question word for word,
// and (facts) the options.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "story.hpp"

namespace rota_lm::synth {

struct item {
  std::vector<std::string> statements;  // in the order in which they must stand in the context
  std::string question;                 // starts with a blank, ends with the first words of
                                        // the statement, so that its continuation is the answer
  std::string answer;                   // starts with a blank
  std::vector<std::string> choices;     // options as answers, each starting with a blank
  std::size_t correct = 0;
};

namespace detail {

template <class Range>
std::vector<std::string_view> shuffled(prng& random, const Range& from) {
  std::vector<std::string_view> out(from.begin(), from.end());
  random.shuffle(out);
  return out;
}

// Takes the first word of `pool` that the split allows after `parts`; empty when there is none.
inline std::string_view take(std::vector<std::string_view>& pool, split s,
                             std::string_view before) {
  for (std::size_t i = 0; i < pool.size(); ++i) {
    if (!belongs(s, {before, pool[i]})) continue;
    const auto found = pool[i];
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(i));
    return found;
  }
  return {};
}

}  // namespace detail

// "The amber fox guards kettle harp globe." Adjectives, animals and objects are drawn without
// replacement, so no two needles of a context share a word and an answer has one source only.
inline std::vector<item> make_needles(prng& random, split s, std::size_t count) {
  auto animals = detail::shuffled(random, lexicon::animals);
  auto adjectives = detail::shuffled(random, lexicon::adjectives);
  auto objects = detail::shuffled(random, lexicon::objects);
  std::vector<item> out;
  while (out.size() < count && !animals.empty() && objects.size() >= 3) {
    const auto animal = animals.back();
    animals.pop_back();
    const auto adjective = detail::take(adjectives, s, animal);
    if (adjective.empty()) continue;
    const auto first = objects.back();
    objects.pop_back();
    const auto second = detail::take(objects, s, first);
    const auto third = second.empty() ? second : detail::take(objects, s, second);
    if (third.empty()) break;
    item it;
    const std::string who = join({adjective, " ", animal});
    it.answer = join({" ", first, " ", second, " ", third});
    it.statements = {join({" The ", who, " guards", it.answer, "."})};
    it.question = join({" What does the ", who, " guard? The ", who, " guards"});
    out.push_back(std::move(it));
  }
  return out;
}

inline std::string make_number(prng& random, split s, std::string_view variable) {
  for (;;) {
    std::string number = std::to_string(random.between(1000, 9999));
    if (belongs(s, {variable, number})) return number;
  }
}

// "Let kilo be 4821." "Let nova be kilo." "What is nova? Let nova be" -> " kilo. Let kilo be 4821".
// The answer walks the chain back to the number, so every hop must have survived.
inline std::vector<item> make_chains(prng& random, split s, std::size_t count) {
  auto variables = detail::shuffled(random, lexicon::variables);
  std::vector<item> out;
  while (out.size() < count && variables.size() >= 3) {
    auto name = variables.back();
    variables.pop_back();
    std::string trail = join({" ", make_number(random, s, name)});
    item it;
    it.statements = {join({" Let ", name, " be", trail, "."})};
    for (std::size_t hop = random.between(1, 2); hop > 0; --hop) {
      const auto next = detail::take(variables, s, name);
      if (next.empty()) break;
      it.statements.push_back(join({" Let ", next, " be ", name, "."}));
      trail = join({" ", name, ". Let ", name, " be", trail});
      name = next;
    }
    if (it.statements.size() < 2) continue;
    it.question = join({" What is ", name, "? Let ", name, " be"});
    it.answer = std::move(trail);
    out.push_back(std::move(it));
  }
  return out;
}

// One fact each for (name, verb): "Clara eats figs."
struct fact {
  std::string_view name;
  const lexicon::relation* verb;
  std::string_view value;
};

inline std::vector<fact> make_facts(prng& random, split s, std::size_t count) {
  std::vector<fact> out;
  for (const auto name : detail::shuffled(random, lexicon::names)) {
    for (const auto& verb : lexicon::relations) {
      if (out.size() == count) return out;
      const auto legal =
          std::count_if(verb.values.begin(), verb.values.end(), [&](std::string_view v) {
            return belongs(s, {name, verb.verb, v});
          });
      if (legal < 4) continue;  // too few for four options of this split
      std::string_view value;
      do {
        value = random.pick(verb.values);
      } while (!belongs(s, {name, verb.verb, value}));
      out.push_back({name, &verb, value});
    }
  }
  return out;
}

// Options: values of the same verb that other people of this context have, and that the split
// allows for this person too, so that nothing but the context tells them apart.
inline std::vector<std::string_view> make_options(prng& random, split s,
                                                  const std::vector<fact>& facts,
                                                  const fact& asked) {
  std::vector<std::string_view> options{asked.value}, pool;
  for (const fact& f : facts)
    if (f.verb == asked.verb) pool.push_back(f.value);
  random.shuffle(pool);
  auto rest = detail::shuffled(random, asked.verb->values);
  pool.insert(pool.end(), rest.begin(), rest.end());
  for (const auto value : pool) {
    if (options.size() == 4) break;
    const bool fresh = std::find(options.begin(), options.end(), value) == options.end();
    if (fresh && belongs(s, {asked.name, asked.verb->verb, value})) options.push_back(value);
  }
  random.shuffle(options);
  return options;
}

// "What does Clara eat? A figs B rice C soup D eggs. Clara eats" -> " figs"
inline item make_choice_item(prng& random, split s, const std::vector<fact>& facts,
                             const fact& asked) {
  item it;
  it.statements = {join({" ", asked.name, " ", asked.verb->verb, " ", asked.value, "."})};
  it.question = join({" What does ", asked.name, " ", asked.verb->infinitive, "?"});
  const auto options = make_options(random, s, facts, asked);
  for (std::size_t i = 0; i < options.size(); ++i) {
    const char letter[] = {' ', static_cast<char>('A' + i), ' ', '\0'};
    it.question += join({letter, options[i]});
    it.choices.push_back(join({" ", options[i]}));
    if (options[i] == asked.value) it.correct = i;
  }
  it.question += join({". ", asked.name, " ", asked.verb->verb});
  it.answer = it.choices[it.correct];
  return it;
}

inline std::vector<item> make_choice_items(prng& random, split s, std::size_t count) {
  const auto facts = make_facts(random, s, count);
  std::vector<item> out;
  out.reserve(facts.size());
  for (const fact& f : facts) out.push_back(make_choice_item(random, s, facts, f));
  return out;
}

}  // namespace rota_lm::synth
