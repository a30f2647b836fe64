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

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "generator/items.hpp"
#include "generator/prng.hpp"

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
std::size_t estimate_length(std::string_view text);

inline constexpr double anywhere = -1;

struct request {
  std::uint64_t seed = 0;
  split from = split::eval;
  std::size_t length = 1024;  // of the context, never exceeded; at least 96
  double depth = anywhere;    // 0..1: where among the sentences the asked item begins
  length_fn count = estimate_length;
};

// What a context of a recall task is woven from, one of which is asked for.
std::vector<item> make_items(prng& random, task kind, const request& r);

// A story or a market cut in two: `context` of r.length, `answer` of up to `continuation` units
// more.
sample make_text(const request& r, std::size_t continuation, task kind = task::text);

sample make_sample(task kind, const request& r);

// A piece of a training document; answers are what the loss weighs up.
struct piece {
  std::string text;
  bool is_answer = false;
};

// The context of a recall task, then questions about all of its items, with answers, in any order
// and until `limit` units: what may be asked, where a sample has what is asked.
std::vector<piece> make_all_questions(task kind, const request& r, std::size_t limit);

// A training document of r.length: a context woven from items of one task or of all, then questions
// about them until the length is reached, so that most of the document's last part is recall.
std::vector<piece> make_document(const request& r);

}  // namespace rota_lm::synth
