#include "evaluate/task.hpp"

#include <string_view>

namespace rota_lm::eval {

synthetic_samples::synthetic_samples(const options& o, const model_config& config,
                                     const tokenizer& text)
    : seed_(o.seed), when_(o.when), max_positions_(config.max_positions), text_(text) {}

prepared synthetic_samples::make(synth::task kind, std::size_t length, std::size_t number,
                                 double depth) const {
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

written_sample synthetic_samples::tokenize(const synth::sample& s) const {
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

scoring synthetic_samples::scoring_of(synth::task kind) {
  if (synth::is_text(kind)) return scoring::perplexity;
  return kind == synth::task::choice ? scoring::choice : scoring::exact;
}

task synthetic_task(synth::task kind, const options& o, const model_config& config,
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
