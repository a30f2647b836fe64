#include "generator.hpp"

#include <algorithm>
#include <utility>

#include "generator/market.hpp"
#include "generator/story.hpp"
#include "generator/weave.hpp"

namespace rota_lm::synth {

std::size_t estimate_length(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto letter = [&](std::size_t k) {
      return (text[k] | 32) >= 'a' && (text[k] | 32) <= 'z';
    };
    if (text[i] == ' ') continue;
    if (!letter(i) || i == 0 || !letter(i - 1)) ++count;
  }
  return count;
}

namespace {

prng seeded(const request& r, task kind) {
  const auto stream = static_cast<std::uint64_t>(kind) * 2 + (r.from == split::eval ? 1 : 0);
  return prng(prng::mix(r.seed * 8 + stream % 8 + 1) + stream / 8);
}

sample finish(prng& random, const request& r, task kind, const std::vector<item>& items) {
  const std::size_t asked = random.below(items.size());
  woven w = weave(random, r, items, asked);
  sample s;
  s.kind = kind;
  s.context = std::move(w.text);
  s.depth = w.depth;
  s.question = items[asked].question;
  s.choices = items[asked].choices;
  s.answer = items[asked].answer;
  s.correct = items[asked].correct;
  s.chance = kind == task::choice ? 0.25 : 0;
  return s;
}

}  // namespace

std::vector<item> make_items(prng& random, task kind, const request& r) {
  switch (kind) {
    case task::needle:  // one in 64 units of length: sixteen in a context of 1024
      return make_needles(random, r.from, std::clamp<std::size_t>(r.length / 64, 2, 24));
    case task::vartrack:  // chains of one or two hops; the others are the distractors
      return make_chains(random, r.from, std::clamp<std::size_t>(r.length / 96, 2, 14));
    case task::choice:  // four fifths of the context are facts, any of which may be asked for
      return make_choice_items(random, r.from, std::clamp<std::size_t>(r.length / 5, 8, 160));
    default:
      return {};
  }
}

sample make_text(const request& r, std::size_t continuation, task kind) {
  prng random = seeded(r, kind);
  sample s;
  s.kind = kind;
  const auto cut = [&](auto tale) {
    s.context = sentences(r, r.length, tale);
    s.answer = sentences(r, continuation, tale);
  };
  if (kind == task::market)
    cut(market(random, r.from));
  else
    cut(story(random, r.from));
  return s;
}

sample make_sample(task kind, const request& r) {
  if (is_text(kind)) return make_text(r, r.length / 4, kind);
  prng random = seeded(r, kind);
  const std::vector<item> items = make_items(random, kind, r);
  return finish(random, r, kind, items);
}

std::vector<piece> make_all_questions(task kind, const request& r, std::size_t limit) {
  prng random = seeded(r, kind);
  std::vector<item> items = make_items(random, kind, r);
  std::vector<piece> out{{weave(random, r, items, 0).text, false}};
  random.shuffle(items);
  std::size_t used = 0;
  for (const item& it : items) {
    used += r.count(it.question) + r.count(it.answer) + 1;
    if (used > limit) break;
    out.push_back({it.question, false});
    out.push_back({it.answer, true});
    out.push_back({".", false});
  }
  return out;
}

std::vector<piece> make_document(const request& r) {
  prng random(prng::mix(r.seed * 2 + (r.from == split::eval ? 1 : 0)) ^ 0x646f63756d656e74ULL);
  const std::size_t kind = random.below(100);
  if (kind < 15) {
    story tale(random, r.from);
    return {{sentences(r, r.length, tale), false}};
  }
  request inner = r;
  inner.length = r.length * random.between(45, 75) / 100;
  const std::size_t n = inner.length * random.between(40, 100) / 100;
  std::vector<item> items;
  const auto add = [&](std::vector<item> more) {
    for (item& it : more) items.push_back(std::move(it));
  };
  if (kind < 35)
    add(make_needles(random, r.from, n / 12 + 1));
  else if (kind < 58)
    add(make_chains(random, r.from, n / 22 + 1));
  else if (kind < 80)
    add(make_choice_items(random, r.from, std::max<std::size_t>(n / 5, 4)));
  else {
    add(make_needles(random, r.from, n / 48 + 1));
    add(make_chains(random, r.from, n / 80 + 1));
    add(make_choice_items(random, r.from, std::max<std::size_t>(n / 16, 4)));
  }
  std::vector<piece> out{{weave(random, inner, items, 0).text, false}};
  std::size_t used = r.count(out[0].text);
  random.shuffle(items);
  for (const item& it : items) {
    used += r.count(it.question) + r.count(it.answer) + 1;
    if (used > r.length) break;
    out.push_back({it.question, false});
    out.push_back({it.answer, true});
    out.push_back({".", false});
  }
  return out;
}

}  // namespace rota_lm::synth
