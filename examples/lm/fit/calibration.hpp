// What a predictor learns from: hidden states of a text's tokens, and the attention that they then
// really got from the tokens that ask.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <rota/train/predictor_weights.hpp>

#include "engine/collectors.hpp"
#include "engine/dense_cache.hpp"
#include "engine/model.hpp"
#include "engine/model_outputs.hpp"
#include "engine/scoring_context.hpp"

namespace rota_lm {

/// A text, cut where the cache would be compressed.
struct cut_text {
  std::vector<token_id> ids;
  /// Tokens before the cut. What follows asks too, as the answer will: its attention is part of
  /// the target, though the predictor never sees it.
  std::size_t cut = 0;
};

/// What a group is worth to a query that looks at its token: the norm of the slice as it is stored,
/// or of what the output projection makes of it.
enum class slice_worth { value_norm, wo_norm };

/// How a text becomes a sample.
struct calibration_setting {
  slice_worth worth = slice_worth::value_norm;
  std::size_t split = 1;
  std::size_t sinks = 4;
  std::size_t window = 16;
  std::size_t group_width = 16;
};

/// A sample and its memory.
struct owned_calibration {
  std::vector<rota::bf16> hidden, query, target;
  rota::train::calibration_sample view;

  owned_calibration() = default;
  owned_calibration(owned_calibration&&) = default;  // vectors keep their memory
  owned_calibration& operator=(owned_calibration&&) = default;
};

/// Runs the model over a text and gathers the sample: hidden states that enter the split layer, and
/// for each later layer attention mass times slice norm (rota::attention_mass or
/// attention_mass_wo), the queries being the window's and those of all tokens after the cut.
class calibrator {
 public:
  using element = rota::bf16;

  calibrator(const model& lm, const calibration_setting& s) : lm_(lm), setting_(s) {
    const model_config& c = lm.config();
    if (s.split >= c.layers) {
      fail("--split", std::to_string(s.split) + ": the model's layers are 0 to " +
                          std::to_string(c.layers - 1));
    }
    shape_.layers = static_cast<rota::index_t>(c.layers - s.split);
    shape_.kv_heads = static_cast<rota::index_t>(c.kv_heads);
    shape_.groups = static_cast<rota::index_t>(c.head_dim / s.group_width);
    shape_.hidden = static_cast<rota::index_t>(c.hidden_size);
    if (s.worth == slice_worth::wo_norm) outputs_.emplace(lm, static_cast<int>(s.group_width));
  }

  /// Of the samples that come; rank 0.
  const rota::train::predictor_shape& shape() const { return shape_; }

  owned_calibration gather(const cut_text& text) const {
    if (text.cut <= setting_.sinks + setting_.window) {
      fail("--context", "a calibration text of " + std::to_string(text.cut) +
                            " tokens is not longer than " + std::to_string(setting_.sinks) +
                            " sinks and the window of " + std::to_string(setting_.window));
    }
    const std::size_t after = text.ids.size() - text.cut;
    dense_cache<element> cache(lm_.config(), text.ids.size());
    prefill_record record(lm_, setting_.window + after, 0, 0);
    const std::size_t wanted[] = {setting_.split};
    hidden_states hidden(lm_.config(), wanted);
    observers both({&record, &hidden});
    lm_.forward(text.ids, cache, 0, &both);

    owned_calibration out;
    const std::size_t first = setting_.sinks, last = text.cut - setting_.window;
    const std::size_t width = hidden.width();
    const std::span<const float> states = hidden.of(setting_.split);
    out.hidden = rounded(states.subspan(first * width, (last - first) * width));
    out.query = rounded(states.subspan(last * width, setting_.window * width));
    for (std::size_t l = setting_.split; l < lm_.config().layers; ++l) {
      const scoring_context<element> context(cache, record, l);
      if (outputs_) {
        add_targets(rota::attention_mass_wo{}, behind_outputs(context.get(), l), first, last,
                    out.target);
      } else {
        add_targets(rota::attention_mass{}, context.get(), first, last, out.target);
      }
    }
    out.view.tokens = static_cast<rota::index_t>(last - first);
    out.view.queries = static_cast<rota::index_t>(setting_.window);
    out.view.hidden = out.hidden;
    out.view.query = out.query;
    out.view.target = out.target;
    require(rota::train::check_sample(shape_, out.view), "calibration");
    return out;
  }

 private:
  static std::vector<rota::bf16> rounded(std::span<const float> x) {
    std::vector<rota::bf16> out(x.size());
    std::transform(x.begin(), x.end(), out.begin(), [](float v) { return rota::bf16(v); });
    return out;
  }

  using outputs_context = rota::context<element, rota::window_queries, rota::output_gram>;

  template <class Context>
  outputs_context behind_outputs(const Context& c, std::size_t layer) const {
    outputs_context out;
    out.keys = c.keys;
    out.values = c.values;
    out.queries = c.queries;
    static_cast<rota::output_gram&>(out) = outputs_->gram(layer);
    return out;
  }

  template <class Scorer, class Context>
  void add_targets(Scorer scorer, const Context& c, std::size_t first, std::size_t last,
                   std::vector<rota::bf16>& out) const {
    const int width = static_cast<int>(setting_.group_width);
    std::vector<float> scores(static_cast<std::size_t>(c.tokens() * c.kv_heads() * shape_.groups));
    const rota::view<float, 3> mass(scores.data(), c.kv_heads(), c.tokens(), shape_.groups);
    scratch_memory scratch;
    const rota::workspace ws =
        scratch.at_least(rota::cpu::score_groups_workspace_bytes({}, scorer, {}, c, width));
    require(rota::cpu::score_groups({}, scorer, {}, c, width, mass, ws), "calibration");
    for (std::size_t j = first; j < last; ++j) {
      for (rota::index_t h = 0; h < c.kv_heads(); ++h) {
        for (rota::index_t s = 0; s < shape_.groups; ++s) out.push_back(rota::bf16(mass(h, j, s)));
      }
    }
  }

  const model& lm_;
  calibration_setting setting_;
  rota::train::predictor_shape shape_;
  std::optional<model_outputs> outputs_;
};

}  // namespace rota_lm
