// Tasks: where samples come from. Each task's samples are numbered, and the same number always
// gives the same sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
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
  synthetic_samples(const options& o, const model_config& config, const tokenizer& text);

  /// Held out from training. `length` in tokens, of the context; of a text three quarters of them
  /// are context and the rest is scored. `depth`: see synth::request.
  prepared make(synth::task kind, std::size_t length, std::size_t number,
                double depth = synth::anywhere) const;
  static scoring scoring_of(synth::task kind);

 private:
  written_sample tokenize(const synth::sample& s) const;

  std::uint64_t seed_;
  protocol when_;
  std::size_t max_positions_;
  const tokenizer& text_;
};

/// Refers to the tokenizer.
task synthetic_task(synth::task kind, const options& o, const model_config& config,
                    const tokenizer& text);

}  // namespace rota_lm::eval
