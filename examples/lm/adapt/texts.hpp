// Where training sequences come from: the generator's training split, or a text file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "adapt/trainer.hpp"
#include "engine/mapped_file.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "generator.hpp"

namespace rota_lm {

/// Prefix and continuation, in tokens.
struct sequence_lengths {
  std::size_t prefix = 192;
  std::size_t continuation = 96;
  std::size_t all() const { return prefix + continuation; }
};

/// Generated texts of one task, by their numbers. Refers to the tokenizer.
class generated_sequences {
 public:
  generated_sequences(synth::task task, synth::split from, const tokenizer& text)
      : task_(task), from_(from), text_(text) {}

  cut_ids make(std::size_t number, const sequence_lengths& l) const {
    cut_ids out;
    out.prefix = l.prefix;
    // The generator counts words; its texts are a little longer in tokens.
    synth::request r;
    r.seed = number;
    r.from = from_;
    r.length = l.all() + 32;
    const synth::sample s = synth::make_text(r, 64, task_);
    out.ids = text_.encode(s.context + s.answer, false);
    if (out.ids.size() < l.all()) fail("training texts", "a text is shorter than it should be");
    out.ids.resize(l.all());
    return out;
  }

 private:
  synth::task task_;
  synth::split from_;
  const tokenizer& text_;
};

/// Pieces of a text file, begun at places that follow from the number.
class file_sequences {
 public:
  file_sequences(const std::string& path, const tokenizer& text, const sequence_lengths& longest) {
    const mapped_file file(path);
    ids_ = text.encode(file.text());
    if (ids_.size() < longest.all())
      fail(path, "training text of " + std::to_string(ids_.size()) + " tokens; one sequence is " +
                     std::to_string(longest.all()) + " long");
  }

  cut_ids make(std::size_t number, const sequence_lengths& l) const {
    synth::prng random(synth::prng::mix(number + 1));
    const std::size_t begin = random.below(ids_.size() - l.all() + 1);
    const auto first = ids_.begin() + static_cast<std::ptrdiff_t>(begin);
    return {{first, first + static_cast<std::ptrdiff_t>(l.all())}, l.prefix};
  }

 private:
  std::vector<token_id> ids_;
};

}  // namespace rota_lm
