// The synthetic language of rota-synth: one generator for the training corpus and for evaluation.
//
// A sample is a context, a question and an answer, all plain text that simply concatenates:
//   prompt = context + question, and a model that found the answer continues with `answer` + ".".
// Every part starts with a blank, so parts may be tokenized apart: their token counts
// and ids simply concatenate. Same request, same text, on every platform.
//
// | task     | scored by                                   | chance without the context       |
// |----------|---------------------------------------------|----------------------------------|
// | text     | perplexity of `answer` after `context`      | -                                |
// | market   | the same, in a domain that is not trained   | -                                |
// | needle   | greedy continuation starts with `answer`    | 0 (about 90*90*90 values)        |
// | vartrack | greedy continuation starts with `answer`    | 0 (47 names and 9,000 numbers)   |
// | choice   | log-likelihood of each of the four choices  | 0.25 (the place is uniform)      |
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "generator/items.hpp"
#include "generator/market.hpp"

namespace rota_lm::synth {

enum class task { text, needle, vartrack, choice, market };

// Of a continuous text, cut in two; the other tasks ask questions.
constexpr bool is_text(task kind) {
  return kind == task::text || kind == task::market;
}

struct sample {
  task kind = task::text;
  std::string context;
  std::string question;              // empty for text and market
  std::vector<std::string> choices;  // empty but for choice; each starts with a blank
  std::string answer;                // starts with a blank; for text the continuation to score
  std::size_t correct = 0;           // index into choices
  double depth = 0;   // where the asked statement starts, 0..1 of the context's bytes
  double chance = 0;  // expected score with the context removed
};

// Length of a piece of text, in whatever unit the caller budgets; pass the tokenizer's count to fit
// samples to a token budget. It is called once a sentence.
using length_fn = std::function<std::size_t(std::string_view)>;

// Stands in for a tokenizer: words and punctuation marks, digits one by one.
inline std::size_t estimate_length(std::string_view text) {
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

inline constexpr double anywhere = -1;

struct request {
  std::uint64_t seed = 0;
  split from = split::eval;
  std::size_t length = 1024;  // of the context, never exceeded; at least 96
  double depth = anywhere;    // 0..1: where among the sentences the asked item begins
  length_fn count = estimate_length;
};

namespace detail {

inline prng seeded(const request& r, task kind) {
  const auto stream = static_cast<std::uint64_t>(kind) * 2 + (r.from == split::eval ? 1 : 0);
  return prng(prng::mix(r.seed * 8 + stream % 8 + 1) + stream / 8);
}

struct woven {
  std::string text;
  double depth = 0;
};

// The key of a first statement at a share of the text. Those that follow it keep their own places,
// or come right behind it.
inline std::uint64_t key_at(double depth, std::vector<std::uint64_t>& keys) {
  const auto key = static_cast<std::uint64_t>(std::clamp(depth, 0.0, 1 - 0x1p-53) * 0x1p64);
  for (std::size_t k = 1; k < keys.size(); ++k) keys[k] = std::max(keys[k], key);
  return key;
}

// Statements of one item keep their order; each takes a uniform place among the filler sentences.
// `asked` is the item whose first statement (the value itself) gives the depth.
inline woven weave(prng& random, const request& r, const std::vector<item>& items,
                   std::size_t asked) {
  struct placed {
    std::uint64_t key;
    std::string text;
    bool marked;
  };
  std::vector<placed> parts;
  std::size_t used = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    std::vector<std::uint64_t> keys;
    for (std::size_t k = 0; k < items[i].statements.size(); ++k) keys.push_back(random.next());
    std::sort(keys.begin(), keys.end());
    if (i == asked && r.depth != anywhere) keys[0] = key_at(r.depth, keys);
    for (std::size_t k = 0; k < keys.size(); ++k) {
      used += r.count(items[i].statements[k]);
      parts.push_back({keys[k], items[i].statements[k], i == asked && k == 0});
    }
  }
  std::vector<std::string> filler;
  story tale(random, r.from);
  for (;;) {
    std::string next = tale.sentence();
    used += r.count(next);
    if (used > r.length) break;
    filler.push_back(std::move(next));
  }
  // Filler keeps its order at evenly spaced keys; uniform keys of items fall uniformly among them.
  const std::uint64_t step = ~std::uint64_t{0} / (filler.size() + 1);
  for (std::size_t i = 0; i < filler.size(); ++i)
    parts.push_back({step * (i + 1), filler[i], false});
  std::stable_sort(parts.begin(), parts.end(),
                   [](const placed& a, const placed& b) { return a.key < b.key; });
  woven out;
  std::size_t at = 0;
  for (const placed& p : parts) {
    if (p.marked) at = out.text.size();
    out.text += p.text;
  }
  out.depth = out.text.empty() ? 0 : static_cast<double>(at) / static_cast<double>(out.text.size());
  return out;
}

inline sample finish(prng& random, const request& r, task kind, const std::vector<item>& items) {
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

template <class Tale>
std::string sentences(const request& r, std::size_t limit, Tale& tale) {
  std::string out;
  for (std::size_t used = 0;;) {
    const std::string next = tale.sentence();
    used += r.count(next);
    if (used > limit) return out;
    out += next;
  }
}

}  // namespace detail

// What a context of a recall task is woven from, one of which is asked for.
inline std::vector<item> make_items(prng& random, task kind, const request& r) {
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

// A story or a market cut in two: `context` of r.length, `answer` of up to `continuation` units
// more.
inline sample make_text(const request& r, std::size_t continuation, task kind = task::text) {
  prng random = detail::seeded(r, kind);
  sample s;
  s.kind = kind;
  const auto cut = [&](auto tale) {
    s.context = detail::sentences(r, r.length, tale);
    s.answer = detail::sentences(r, continuation, tale);
  };
  if (kind == task::market)
    cut(market(random, r.from));
  else
    cut(story(random, r.from));
  return s;
}

inline sample make_sample(task kind, const request& r) {
  if (is_text(kind)) return make_text(r, r.length / 4, kind);
  prng random = detail::seeded(r, kind);
  const std::vector<item> items = make_items(random, kind, r);
  return detail::finish(random, r, kind, items);
}

// A piece of a training document; answers are what the loss weighs up.
struct piece {
  std::string text;
  bool is_answer = false;
};

// The context of a recall task, then questions about all of its items, with answers, in any order
// and until `limit` units: what may be asked, where a sample has what is asked.
inline std::vector<piece> make_all_questions(task kind, const request& r, std::size_t limit) {
  prng random = detail::seeded(r, kind);
  std::vector<item> items = make_items(random, kind, r);
  std::vector<piece> out{{detail::weave(random, r, items, 0).text, false}};
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

// A training document of r.length: a context woven from items of one task or of all, then questions
// about them until the length is reached, so that most of the document's last part is recall.
inline std::vector<piece> make_document(const request& r) {
  prng random(prng::mix(r.seed * 2 + (r.from == split::eval ? 1 : 0)) ^ 0x646f63756d656e74ULL);
  const std::size_t kind = random.below(100);
  if (kind < 15) {
    story tale(random, r.from);
    return {{detail::sentences(r, r.length, tale), false}};
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
  std::vector<piece> out{{detail::weave(random, inner, items, 0).text, false}};
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
