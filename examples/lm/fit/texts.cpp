#include "fit/texts.hpp"

#include <algorithm>
#include <span>
#include <string_view>

#include "engine/error.hpp"
#include "engine/mapped_file.hpp"
#include "generator/prng.hpp"

namespace rota_lm {

file_texts::file_texts(const std::string& path, const tokenizer& text, const text_lengths& l,
                       std::uint64_t seed)
    : lengths_(l), seed_(seed) {
  const mapped_file file(path);
  ids_ = text.encode(file.text());
  if (ids_.size() <= l.window) {
    fail(path, "calibration text of " + std::to_string(ids_.size()) +
                   " tokens is not longer than the window of " + std::to_string(l.window));
  }
  const std::size_t needed = l.context + l.horizon;
  if (ids_.size() < needed) {
    fail(path, "calibration text of " + std::to_string(ids_.size()) + " tokens; one sample is " +
                   std::to_string(needed) + " long: take less with --context");
  }
}

cut_text file_texts::make(std::size_t number) const {
  synth::prng random(synth::prng::mix(seed_ * 1'000'003 + number));
  const std::size_t length = lengths_.context + lengths_.horizon;
  const auto begin = static_cast<std::ptrdiff_t>(random.below(ids_.size() - length + 1));
  cut_text out;
  out.ids.assign(ids_.begin() + begin, ids_.begin() + begin + static_cast<std::ptrdiff_t>(length));
  out.cut = lengths_.context;
  return out;
}

namespace {

/// From the training split, so that no evaluation sample is among them. Refers to the tokenizer.
synth::request training_request(const tokenizer& text, const text_lengths& l, std::uint64_t seed,
                                std::size_t number) {
  synth::request r;
  r.seed = seed * 1'000'003 + number;
  r.from = synth::split::train;
  r.length = l.context;
  r.count = [&text](std::string_view part) { return text.encode(part, false).size(); };
  return r;
}

}  // namespace

cut_text generated_texts::make(std::size_t number) const {
  const synth::task kind = tasks_[number % tasks_.size()];
  const synth::request r = training_request(text_, lengths_, seed_, number);
  const synth::sample s = kind == synth::task::text ? synth::make_text(r, lengths_.horizon)
                                                    : synth::make_sample(kind, r);
  cut_text out;
  out.ids = text_.encode(s.context);
  append(out.ids, s.question);
  out.cut = out.ids.size();
  append(out.ids, s.answer);
  out.ids.resize(std::min(out.ids.size(), out.cut + lengths_.horizon));
  return out;
}

void generated_texts::append(std::vector<token_id>& ids, const std::string& part) const {
  const std::vector<token_id> more = text_.encode(part, false);
  ids.insert(ids.end(), more.begin(), more.end());
}

namespace {

/// The first piece is what is cut off.
void append(const std::vector<token_id>& ids, cut_text& out) {
  out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  if (out.cut == 0) out.cut = out.ids.size();
}

}  // namespace

cut_text unasked_texts::make(std::size_t number) const {
  const synth::task kind = tasks_[number % tasks_.size()];
  const synth::request r = training_request(text_, lengths_, seed_, number);
  cut_text out;
  if (kind == synth::task::text) {
    const synth::sample s = synth::make_text(r, lengths_.horizon);
    append(text_.encode(s.context), out);
    append(text_.encode(s.answer, false), out);
  } else {
    for (const synth::piece& p : synth::make_all_questions(kind, r, lengths_.horizon)) {
      append(text_.encode(p.text, out.ids.empty()), out);
    }
  }
  out.ids.resize(std::min(out.ids.size(), out.cut + lengths_.horizon));
  return out;
}

}  // namespace rota_lm
