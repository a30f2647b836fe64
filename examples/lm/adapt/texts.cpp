#include "adapt/texts.hpp"

#include "engine/error.hpp"
#include "engine/mapped_file.hpp"
#include "generator/prng.hpp"

namespace rota_lm {

cut_ids generated_sequences::make(std::size_t number, const sequence_lengths& l) const {
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

file_sequences::file_sequences(const std::string& path, const tokenizer& text,
                               const sequence_lengths& longest) {
  const mapped_file file(path);
  ids_ = text.encode(file.text());
  if (ids_.size() < longest.all())
    fail(path, "training text of " + std::to_string(ids_.size()) + " tokens; one sequence is " +
                   std::to_string(longest.all()) + " long");
}

cut_ids file_sequences::make(std::size_t number, const sequence_lengths& l) const {
  synth::prng random(synth::prng::mix(number + 1));
  const std::size_t begin = random.below(ids_.size() - l.all() + 1);
  const auto first = ids_.begin() + static_cast<std::ptrdiff_t>(begin);
  return {{first, first + static_cast<std::ptrdiff_t>(l.all())}, l.prefix};
}

}  // namespace rota_lm
