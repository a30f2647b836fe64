#include "fit/samples.hpp"

#include <algorithm>
#include <string>
#include <variant>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/progress.hpp"

namespace rota_lm {

namespace {

/// Before any text is made: each sample is about that long.
void check_length(const text_lengths& l, std::size_t limit) {
  if (limit != 0 && l.context + l.horizon > limit)
    fail("--context", "of " + std::to_string(l.context) + " and --horizon of " +
                          std::to_string(l.horizon) + " are more than the model's " +
                          std::to_string(limit) + " positions");
}

}  // namespace

calibration_set gather_samples(const fit_options& o, const model& lm, const tokenizer& text,
                               const calibrator& from) {
  using source = std::variant<file_texts, generated_texts, unasked_texts>;
  const auto open = [&]() -> source {
    if (!o.text.empty()) return file_texts(o.text, text, o.lengths, o.seed);
    if (o.unseen) return unasked_texts(o.tasks, text, o.lengths, o.seed);
    return generated_texts(o.tasks, text, o.lengths, o.seed);
  };
  const source texts = open();
  const std::size_t limit = lm.config().max_positions;
  check_length(o.lengths, limit);
  calibration_set out;
  out.owned.resize(o.samples);
  progress shown("fit_predictor", static_cast<double>(o.samples));
  in_parallel(o.threads, o.samples, [&](std::size_t i) {
    const cut_text t = std::visit([&](const auto& s) { return s.make(i); }, texts);
    if (limit != 0 && t.ids.size() > limit) {
      fail("--context", "a sample of " + std::to_string(t.ids.size()) +
                            " tokens is longer than the model's " + std::to_string(limit));
    }
    out.owned[i] = from.gather(t);
    shown.add(1, "calibration texts");
  });
  const std::size_t training = o.samples - std::max<std::size_t>(1, o.samples / 10);
  for (std::size_t i = 0; i < o.samples; ++i) {
    (i < training ? out.training : out.held_out).push_back(out.owned[i].view);
  }
  return out;
}

}  // namespace rota_lm
