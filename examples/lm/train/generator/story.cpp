#include "generator/story.hpp"

#include "generator/lexicon.hpp"

namespace rota_lm::synth {

std::string join(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (std::string_view part : parts) out += part;
  return out;
}

story::story(prng& random, split which) : random_(random), split_(which) {
  const std::size_t size = random_.between(3, 6);
  while (cast_.size() < size) add_person();
  for (person& p : cast_) p.friend_of = other_than(p.name);
}

std::string story::sentence() {
  if (introduced_ < cast_.size() && (introduced_ < 2 || random_.chance(35))) return introduce();
  if (random_.chance(14)) return song();
  return event();
}

void story::add_person() {
  person p;
  do {
    p.name = random_.pick(lexicon::words(lexicon::names));
  } while (known(p.name));
  p.home = pick_for(p.name, lexicon::homes);
  p.trade = pick_for(p.name, lexicon::trades);
  p.pet = random_.pick(lexicon::words(lexicon::pets));
  p.spot = random_.pick(lexicon::words(lexicon::spots));
  cast_.push_back(p);
}

bool story::known(std::string_view name) const {
  for (const person& p : cast_)
    if (p.name == name) return true;
  return false;
}

// Where a person lives and works differs between the splits. A name with no legal word left
// (about one in a hundred) falls back on any word: the filler is asked no questions.
std::string_view story::pick_for(std::string_view name, lexicon::words from) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto value = random_.pick(from);
    if (belongs(split_, {name, value})) return value;
  }
  return random_.pick(from);
}

std::string_view story::other_than(std::string_view name) {
  for (;;) {
    const auto other = cast_[random_.below(cast_.size())].name;
    if (other != name) return other;
  }
}

std::string story::introduce() {
  const person& p = cast_[introduced_++];
  return join({" ", p.name, " the ", p.trade, " lives in ", p.home, " with a ", p.pet,
               " and a friend called ", p.friend_of, "."});
}

std::string story::song() {
  if (songs_.size() < 2 && (songs_.empty() || random_.chance(30))) {
    songs_.push_back(verse());
    return join({" ", cast_[random_.below(introduced_)].name, " sang a new song:", songs_.back()});
  }
  const std::string& again = songs_[random_.below(songs_.size())];
  return join({" ", cast_[random_.below(introduced_)].name, " sang the old song:", again});
}

std::string story::verse() {
  std::string out;
  auto word = random_.pick(lexicon::words(lexicon::song_words));
  for (std::size_t i = random_.between(6, 10); i > 0; --i) {
    out += join({" ", word});
    word = next_word(word);
  }
  return out + ".";
}

std::string_view story::next_word(std::string_view word) {
  for (;;) {
    const auto next = random_.pick(lexicon::words(lexicon::song_words));
    if (next != word && belongs(split_, {word, next})) return next;
  }
}

std::string story::event() {
  const person& p = cast_[random_.below(introduced_)];
  const auto time = random_.pick(lexicon::words(lexicon::times));
  const auto sky = random_.pick(lexicon::words(lexicon::weather));
  const auto mood = random_.pick(lexicon::words(lexicon::moods));
  switch (random_.below(9)) {
    case 0:
      return join(
          {" In the ", time, " ", p.name, " walked from ", p.home, " to the ", p.spot, "."});
    case 1:
      return join({" ", p.name, " was ", mood, " and went home to ", p.home, "."});
    case 2:
      return join({" The ", p.trade, " ", p.name, " met ", p.friend_of, " at the ", p.spot, "."});
    case 3:
      return join({" ", p.name, " fed the ", p.pet, " because the ", p.pet, " was ", mood, "."});
    case 4:
      return join({" The ", sky, " came to ", p.home, " and ", p.name, " stayed inside."});
    case 5:
      return join({" ", p.name, " worked as a ", p.trade, " until the ", time, "."});
    case 6:
      return join(
          {" ", p.friend_of, " wrote a letter to ", p.name, " the ", p.trade, " in ", p.home, "."});
    case 7:
      return join({" There was ", sky, " in the ", time, ", so ", p.name, " took the ", p.pet,
                   " to the ", p.spot, "."});
    default:
      return join({" ", p.name, " told ", p.friend_of, " about the ", sky, " in ", p.home, "."});
  }
}

}  // namespace rota_lm::synth
