// Tasks: where samples come from. Each task's samples are numbered, and the same number always
// gives the same sample.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/config.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/sample.hpp"
#include "generator.hpp"

namespace rota_lm::eval {

struct task {
  std::string name;
  scoring how = scoring::exact;
  double chance = 0;        ///< accuracy of a guess
  std::size_t samples = 0;  ///< of this run
  std::function<prepared(std::size_t number)> make;
  /// Of scoring::perplexity, where it is known: words that each sample scores.
  std::vector<double> words;

  bool is_perplexity() const { return how == scoring::perplexity; }
};

/// What the synthetic tasks are made of; refers to its tokenizer.
class synthetic_samples {
 public:
  synthetic_samples(const options& o, const model_config& config, const tokenizer& text)
      : seed_(o.seed), when_(o.when), max_positions_(config.max_positions), text_(text) {}

  /// Held out from training. `length` in tokens, of the context; of a text three quarters of them
  /// are context and the rest is scored. `depth`: see synth::request.
  prepared make(synth::task kind, std::size_t length, std::size_t number,
                double depth = synth::anywhere) const {
    synth::request r;
    r.seed = seed_ * 1'000'003 + number;
    r.from = synth::split::eval;
    r.length = synth::is_text(kind) ? length * 3 / 4 : length;
    r.depth = depth;
    r.count = [this](std::string_view part) { return text_.encode(part, false).size(); };
    const synth::sample s =
        synth::is_text(kind) ? synth::make_text(r, length / 4, kind) : synth::make_sample(kind, r);
    return cut(tokenize(s), when_, max_positions_);
  }

 private:
  written_sample tokenize(const synth::sample& s) const {
    written_sample w;
    w.how = scoring_of(s.kind);
    w.where = "--context";
    w.context = text_.encode(s.context);
    w.question = text_.encode(s.question, false);
    if (s.choices.empty()) w.answers.push_back(text_.encode(s.answer, false));
    for (const std::string& choice : s.choices) w.answers.push_back(text_.encode(choice, false));
    w.correct = s.correct;
    w.depth = s.depth;
    return w;
  }

 public:
  static scoring scoring_of(synth::task kind) {
    if (synth::is_text(kind)) return scoring::perplexity;
    return kind == synth::task::choice ? scoring::choice : scoring::exact;
  }

 private:
  std::uint64_t seed_;
  protocol when_;
  std::size_t max_positions_;
  const tokenizer& text_;
};

/// Refers to the tokenizer.
inline task synthetic_task(synth::task kind, const options& o, const model_config& config,
                           const tokenizer& text) {
  task t;
  t.name = name_of(task_names, kind);
  t.how = synthetic_samples::scoring_of(kind);
  t.chance = kind == synth::task::choice ? 0.25 : 0;
  t.samples = o.samples;
  t.make = [source = synthetic_samples(o, config, text), kind,
            length = o.context](std::size_t number) { return source.make(kind, length, number); };
  return t;
}

}  // namespace rota_lm::eval
