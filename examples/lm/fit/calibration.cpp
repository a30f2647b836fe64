#include "fit/calibration.hpp"

#include <algorithm>
#include <span>
#include <string>

#include <rota/cpu/score.hpp>
#include <rota/score/attention_mass.hpp>
#include <rota/score/attention_mass_wo.hpp>

#include "engine/collectors.hpp"
#include "engine/dense_cache.hpp"
#include "engine/error.hpp"
#include "engine/rota_call.hpp"
#include "engine/scoring_context.hpp"
#include "engine/scratch_memory.hpp"

namespace rota_lm {

namespace {

using element = rota::bf16;
using outputs_context = rota::context<element, rota::window_queries, rota::output_gram>;

std::vector<rota::bf16> rounded(std::span<const float> x) {
  std::vector<rota::bf16> out(x.size());
  std::transform(x.begin(), x.end(), out.begin(), [](float v) { return rota::bf16(v); });
  return out;
}

outputs_context behind_outputs(const scoring_context<element>::context_type& c,
                               const rota::output_gram& gram) {
  outputs_context out;
  static_cast<rota::context_views<element>&>(out) = c;
  static_cast<rota::window_queries&>(out) = c;
  static_cast<rota::output_gram&>(out) = gram;
  return out;
}

/// Appends the scores of the tokens [first, last): [tokens, kv_heads, groups].
template <class Scorer, class Context>
void add_targets(Scorer scorer, const Context& c, int width, std::size_t first, std::size_t last,
                 std::vector<rota::bf16>& out) {
  const rota::index_t groups = c.d_v() / width;
  std::vector<float> scores(static_cast<std::size_t>(c.tokens() * c.kv_heads() * groups));
  const rota::view<float, 3> mass(scores.data(), c.kv_heads(), c.tokens(), groups);
  scratch_memory scratch;
  const rota::workspace ws =
      scratch.at_least(rota::cpu::score_groups_workspace_bytes({}, scorer, {}, c, width));
  require(rota::cpu::score_groups({}, scorer, {}, c, width, mass, ws), "calibration");
  for (std::size_t j = first; j < last; ++j) {
    for (rota::index_t h = 0; h < c.kv_heads(); ++h) {
      for (rota::index_t s = 0; s < groups; ++s) out.push_back(rota::bf16(mass(h, j, s)));
    }
  }
}

/// The targets of every layer from the split on.
std::vector<rota::bf16> targets_of(const calibration_setting& s, const model_outputs* outputs,
                                   const dense_cache<element>& cache, const prefill_record& record,
                                   std::size_t first, std::size_t last) {
  std::vector<rota::bf16> out;
  const int width = static_cast<int>(s.group_width);
  for (std::size_t l = s.split; l < record.config().layers; ++l) {
    const scoring_context<element> context(cache, record, l);
    if (outputs != nullptr) {
      add_targets(rota::attention_mass_wo{}, behind_outputs(context.get(), outputs->gram(l)), width,
                  first, last, out);
    } else {
      add_targets(rota::attention_mass{}, context.get(), width, first, last, out);
    }
  }
  return out;
}

}  // namespace

calibrator::calibrator(const model& lm, const calibration_setting& s) : lm_(lm), setting_(s) {
  const model_config& c = lm.config();
  if (s.split >= c.layers) {
    fail("--split",
         std::to_string(s.split) + ": the model's layers are 0 to " + std::to_string(c.layers - 1));
  }
  shape_.layers = static_cast<rota::index_t>(c.layers - s.split);
  shape_.kv_heads = static_cast<rota::index_t>(c.kv_heads);
  shape_.groups = static_cast<rota::index_t>(c.head_dim / s.group_width);
  shape_.hidden = static_cast<rota::index_t>(c.hidden_size);
  if (s.worth == slice_worth::wo_norm) outputs_.emplace(lm, static_cast<int>(s.group_width));
}

owned_calibration calibrator::gather(const cut_text& text) const {
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
  out.target = targets_of(setting_, outputs_ ? &*outputs_ : nullptr, cache, record, first, last);
  out.view.tokens = static_cast<rota::index_t>(last - first);
  out.view.queries = static_cast<rota::index_t>(setting_.window);
  out.view.hidden = out.hidden;
  out.view.query = out.query;
  out.view.target = out.target;
  require(rota::train::check_sample(shape_, out.view), "calibration");
  return out;
}

}  // namespace rota_lm
