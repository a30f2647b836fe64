#include "generator/market.hpp"

#include "generator/story.hpp"

namespace rota_lm::synth {

market::market(prng& random, split which) : random_(random), split_(which) {
  const std::size_t size = random_.between(8, 16);
  while (traders_.size() < size) add_trader();
}

std::string market::sentence() {
  if (opened_ < traders_.size() && (opened_ < 2 || random_.chance(30))) return stall();
  return deal();
}

void market::add_trader() {
  trader t;
  do {
    t.name = random_.pick(lexicon::words(lexicon::names));
  } while (known(t.name));
  t.goods = pick(lexicon::goods, t.name, "sells");
  t.from = pick(lexicon::towns, t.name, "from");
  do {
    t.to = random_.pick(lexicon::words(lexicon::towns));
  } while (t.to == t.from);
  t.animal = random_.pick(lexicon::words(lexicon::animals));
  t.adjective = pick(lexicon::adjectives, t.animal, "is");
  t.food = pick(lexicon::foods, t.name, "eats");
  t.price = std::to_string(random_.between(10, 99));
  traders_.push_back(t);
}

bool market::known(std::string_view name) const {
  for (const trader& t : traders_)
    if (t.name == name) return true;
  return false;
}

// What is said of whom differs between the splits; a word that has no legal partner takes any.
std::string_view market::pick(lexicon::words from, std::string_view of, std::string_view link) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto value = random_.pick(from);
    if (belongs(split_, {of, link, value})) return value;
  }
  return random_.pick(from);
}

std::string market::stall() {
  const trader& t = traders_[opened_++];
  return join({" ", t.name, " sells ", t.goods, " in ", t.to, " with the ", t.adjective, " ",
               t.animal, " from ", t.from, " and eats ", t.price, " ", t.food, "."});
}

std::string market::deal() {
  const trader& t = traders_[random_.below(opened_)];
  const auto time = random_.pick(lexicon::words(lexicon::times));
  switch (random_.below(7)) {
    case 0:
      return join({" In the ", time, " the ", t.goods, " from ", t.from, " came to ", t.name, "."});
    case 1:
      return join({" The ", t.adjective, " ", t.animal, " went to ", t.to, " with the ", t.goods,
                   " and ", t.name, "."});
    case 2:
      return join({" ", t.name, " from ", t.from, " took ", t.price, " ", t.food, "."});
    case 3:
      return join({" There was ", random_.pick(lexicon::words(lexicon::weather)), " in ", t.to,
                   ", so the ", t.adjective, " ", t.animal, " stayed inside."});
    case 4:
      return join({" ", t.to, " sells ", t.price, " ", t.food, " to ", t.name, " because the ",
                   t.goods, " came."});
    case 5:
      return join({" ", t.name, " met the ", t.adjective, " ", t.animal, " from ", t.from,
                   " in the ", time, "."});
    default:
      return join({" The ", t.food, " and the ", t.goods, " stayed in ", t.from, " until ", t.name,
                   " walked to ", t.to, "."});
  }
}

}  // namespace rota_lm::synth
