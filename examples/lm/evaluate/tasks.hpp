// A sample as token ids, cut where the protocol says that the cache is compressed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/attention_seam.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/matrix.hpp"
#include "engine/model.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/options.hpp"
#include "evaluate/statistics.hpp"
#include "generator.hpp"

namespace rota_lm::eval {

using token_ids = std::vector<token_id>;

/// Everything that rows need of a sample.
///
/// Where the prefill is the whole prompt, its last token is taken back after it was seen and runs
/// once more through each row's own store: so already the first token of the answer comes from what
/// the row kept, not from the dense prefill.
struct prepared {
  synth::task kind = synth::task::text;
  token_ids prefill;               ///< what runs densely
  std::size_t taken_back = 0;      ///< so many of its last tokens are not compressed
  token_ids prompt;                ///< what runs through each row: at least one token
  token_ids question;              ///< the prompt of the row without context
  std::vector<token_ids> answers;  ///< one, or the choices
  std::size_t correct = 0;
  std::size_t question_prefilled = 0;  ///< question tokens at the end of the prefill, all counted
  double depth = 0;                    ///< where the asked statement stands, 0..1
  double chance = 0;

  /// Tokens that are compressed.
  std::size_t compressed() const { return prefill.size() - taken_back; }
  /// Tokens that a row appends at most.
  std::size_t room() const {
    std::size_t longest = 0;
    for (const token_ids& a : answers) longest = std::max(longest, a.size());
    return prompt.size() + longest;
  }
};

/// Makes the samples of a run, all held out from training; the same number always gives the same.
class sample_maker {
 public:
  sample_maker(const options& o, const model_config& config, const tokenizer& text)
      : options_(o), max_positions_(config.max_positions), text_(text) {}

  prepared make(synth::task kind, std::size_t number) const {
    synth::request r;
    r.seed = options_.seed * 1'000'003 + number;
    r.from = synth::split::eval;
    // A text is a prefix of three quarters and a continuation of one.
    const bool is_text = kind == synth::task::text;
    r.length = is_text ? options_.context * 3 / 4 : options_.context;
    r.count = [this](std::string_view part) { return text_.encode(part, false).size(); };
    const synth::sample s =
        is_text ? synth::make_text(r, options_.context / 4) : synth::make_sample(kind, r);
    return prepare(s);
  }

 private:
  prepared prepare(const synth::sample& s) const {
    prepared p;
    p.kind = s.kind;
    p.prefill = text_.encode(s.context);
    const token_ids question = text_.encode(s.question, false);
    const bool seen = options_.when == protocol::seen || question.empty();
    if (seen) p.prefill.insert(p.prefill.end(), question.begin(), question.end());
    p.prompt = seen ? token_ids{p.prefill.back()} : question;
    p.question = question.empty() ? p.prompt : question;
    if (seen) p.taken_back = 1;
    if (seen) p.question_prefilled = question.size();
    if (s.choices.empty()) p.answers.push_back(text_.encode(s.answer, false));
    for (const std::string& choice : s.choices) p.answers.push_back(text_.encode(choice, false));
    p.correct = s.correct;
    p.depth = s.depth;
    p.chance = s.chance;
    const std::size_t length = p.prefill.size() + p.room();
    if (max_positions_ != 0 && length > max_positions_) {
      fail("--context", "a sample of " + std::to_string(length) + " tokens is longer than the " +
                            "model's " + std::to_string(max_positions_));
    }
    return p;
  }

  const options& options_;
  std::size_t max_positions_;
  const tokenizer& text_;
};

namespace detail {

/// Log probability of `id` in a row of logits, and whether it is the likeliest.
struct prediction {
  double log_probability;
  bool best;
};

inline prediction predict(const matrix& logits, Eigen::Index row, token_id id) {
  const auto all = logits.row(row);
  Eigen::Index top = 0;
  const double most = static_cast<double>(all.maxCoeff(&top));
  const double sum = static_cast<double>((all.array() - static_cast<float>(most)).exp().sum());
  return {static_cast<double>(all(id)) - most - std::log(sum), top == id};
}

/// Runs `ids` through the cache but for their last, after `before` (logits of the token before
/// them), and hands f(i, prediction of ids[i]).
template <class Cache, class F>
void follow(const model& lm, Cache& cache, const matrix& before, const token_ids& ids, F&& f) {
  f(std::size_t{0}, predict(before, before.rows() - 1, ids[0]));
  if (ids.size() == 1) return;
  const matrix logits = lm.forward(std::span(ids).first(ids.size() - 1), cache, model::all_tokens);
  for (std::size_t i = 1; i < ids.size(); ++i) {
    f(i, predict(logits, static_cast<Eigen::Index>(i - 1), ids[i]));
  }
}

}  // namespace detail

/// Answers a sample through a cache that holds what was kept of its prefill (or nothing, with the
/// question as `prompt`), as the generator says it is scored. All tokens of an answer run in one
/// forward pass: token i is the greedy choice after the i right ones before it, so all being so is
/// the same as decoding them greedily one by one.
template <attention_cache Cache>
outcome answer(const model& lm, const prepared& sample, const token_ids& prompt, Cache& cache) {
  const matrix before = lm.forward(prompt, cache);
  if (sample.answers.size() == 1) {
    const token_ids& ids = sample.answers[0];
    bool all_best = true;
    double loss = 0;
    detail::follow(lm, cache, before, ids, [&](std::size_t, const detail::prediction& p) {
      all_best = all_best && p.best;
      loss -= p.log_probability;
    });
    if (sample.kind == synth::task::text) return {loss, static_cast<double>(ids.size())};
    return {all_best ? 1.0 : 0.0, 1};
  }
  const std::size_t start = cache.next_position();
  std::size_t likeliest = 0;
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < sample.answers.size(); ++c) {
    double sum = 0;
    detail::follow(lm, cache, before, sample.answers[c],
                   [&](std::size_t, const detail::prediction& p) { sum += p.log_probability; });
    cache.truncate(start);
    if (sum > most) {
      most = sum;
      likeliest = c;
    }
  }
  return {likeliest == sample.correct ? 1.0 : 0.0, 1};
}

}  // namespace rota_lm::eval
