#include "generator/items.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "generator/lexicon.hpp"
#include "generator/story.hpp"

namespace rota_lm::synth {

namespace {

template <class Range>
std::vector<std::string_view> shuffled(prng& random, const Range& from) {
  std::vector<std::string_view> out(from.begin(), from.end());
  random.shuffle(out);
  return out;
}

// Takes the first word of `pool` that the split allows after `parts`; empty when there is none.
std::string_view take(std::vector<std::string_view>& pool, split s, std::string_view before) {
  for (std::size_t i = 0; i < pool.size(); ++i) {
    if (!belongs(s, {before, pool[i]})) continue;
    const auto found = pool[i];
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(i));
    return found;
  }
  return {};
}

}  // namespace

std::vector<item> make_needles(prng& random, split s, std::size_t count) {
  auto animals = shuffled(random, lexicon::animals);
  auto adjectives = shuffled(random, lexicon::adjectives);
  auto objects = shuffled(random, lexicon::objects);
  std::vector<item> out;
  while (out.size() < count && !animals.empty() && objects.size() >= 3) {
    const auto animal = animals.back();
    animals.pop_back();
    const auto adjective = take(adjectives, s, animal);
    if (adjective.empty()) continue;
    const auto first = objects.back();
    objects.pop_back();
    const auto second = take(objects, s, first);
    const auto third = second.empty() ? second : take(objects, s, second);
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

namespace {

std::string make_number(prng& random, split s, std::string_view variable) {
  for (;;) {
    std::string number = std::to_string(random.between(1000, 9999));
    if (belongs(s, {variable, number})) return number;
  }
}

}  // namespace

std::vector<item> make_chains(prng& random, split s, std::size_t count) {
  auto variables = shuffled(random, lexicon::variables);
  std::vector<item> out;
  while (out.size() < count && variables.size() >= 3) {
    auto name = variables.back();
    variables.pop_back();
    std::string trail = join({" ", make_number(random, s, name)});
    item it;
    it.statements = {join({" Let ", name, " be", trail, "."})};
    for (std::size_t hop = random.between(1, 2); hop > 0; --hop) {
      const auto next = take(variables, s, name);
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

namespace {

// One fact each for (name, verb): "Clara eats figs."
struct fact {
  std::string_view name;
  const lexicon::relation* verb;
  std::string_view value;
};

std::vector<fact> make_facts(prng& random, split s, std::size_t count) {
  std::vector<fact> out;
  for (const auto name : shuffled(random, lexicon::names)) {
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
std::vector<std::string_view> make_options(prng& random, split s, const std::vector<fact>& facts,
                                           const fact& asked) {
  std::vector<std::string_view> options{asked.value}, pool;
  for (const fact& f : facts)
    if (f.verb == asked.verb) pool.push_back(f.value);
  random.shuffle(pool);
  auto rest = shuffled(random, asked.verb->values);
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
item make_choice_item(prng& random, split s, const std::vector<fact>& facts, const fact& asked) {
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

}  // namespace

std::vector<item> make_choice_items(prng& random, split s, std::size_t count) {
  const auto facts = make_facts(random, s, count);
  std::vector<item> out;
  out.reserve(facts.size());
  for (const fact& f : facts) out.push_back(make_choice_item(random, s, facts, f));
  return out;
}

}  // namespace rota_lm::synth
