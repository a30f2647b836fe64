#include "evaluate/prefill.hpp"

#include <algorithm>

#include <rota/core/types.hpp>
#include <rota/score/snapkv.hpp>

#include "engine/predictor_file.hpp"
#include "engine/value_routing.hpp"
#include "evaluate/stock_scores.hpp"

namespace rota_lm::eval {

prefilled::prefilled(const model& lm, const prepared& sample, const options& o,
                     counting_memory& memory, shared_extras shared, rota::cpu::backend backend)
    : dense_(lm.config(), sample.prefill.size() + sample.room(), backend, &memory.dense),
      window_(std::max(o.window, sample.question_prefilled)),
      question_(sample.question_prefilled),
      record_(lm, queries_kept(o, sample), o.sinks, moment_layers(o, lm.config(), shared)),
      shared_(shared),
      predicted_(shared.predictor, of_predictor(o), sample.compressed(), backend),
      inputs_(shared.routing != nullptr) {
  observers all({&record_, &predicted_, &inputs_});
  logits_ = lm.forward(sample.prefill, dense_, sample.wants_logits ? 1 : 0, &all);
  for (std::size_t i = 0; i < dense_.layers(); ++i) scoring_.emplace_back(dense_, record_, i);
  taken_back_ = sample.taken_back;
  dense_.truncate(sample.compressed());
  const auto asks = [](const method& m) { return m.uses_oracle(); };
  if (std::any_of(o.methods.begin(), o.methods.end(), asks)) {
    foresee(lm, sample, group_width_of(o, lm.config().head_dim));
  }
}

std::vector<layer_context> prefilled::contexts() const {
  std::vector<layer_context> out;
  for (const auto& s : scoring_) {
    out.push_back(s.get());
    out.back().keys.extent[0] -= static_cast<rota::index_t>(taken_back_);
    out.back().values.extent[0] -= static_cast<rota::index_t>(taken_back_);
  }
  return out;
}

compressor prefilled::make_compressor(const options& o) const {
  const int width = group_width_of(o, dense_.config().head_dim);
  return compressor(
      contexts(),
      {static_cast<rota::index_t>(o.sinks), static_cast<rota::index_t>(protected_window())},
      {width, o.stand_in}, dense_.backend(), extras(o));
}

adapted_compressor prefilled::make_adapted() const {
  const value_routing& routing = *shared_.routing;
  const std::size_t question = question_ > taken_back_ ? question_ - taken_back_ : 0;
  return adapted_compressor(contexts(), inputs_.inputs(), routing,
                            {static_cast<rota::index_t>(routing.sinks),
                             static_cast<rota::index_t>(std::max(routing.window, question))},
                            dense_.backend());
}

std::size_t prefilled::queries_kept(const options& o, const prepared& sample) const {
  std::size_t most = window_;
  for (const method& m : o.methods) {
    if (!m.tokens) continue;
    const auto snap = static_cast<std::size_t>(rota::snapkv::params{}.window);
    if (m.tokens->scorer == token_scorer::snapkv) most = std::max(most, snap);
    if (m.tokens->scorer == token_scorer::observed_attention) most = sample.prefill.size();
  }
  return std::min(most, sample.prefill.size());
}

std::size_t prefilled::moment_layers(const options& o, const model_config& c,
                                     shared_extras shared) {
  const auto asks = [](const method& m) { return m.uses_moments(); };
  if (std::any_of(o.methods.begin(), o.methods.end(), asks)) return c.layers;
  const auto falls_back = [](const method& m) { return m.uses_predictor(); };
  const bool fallback = shared.predictor != nullptr && o.fallback.uses_moments() &&
                        std::any_of(o.methods.begin(), o.methods.end(), falls_back);
  return fallback ? shared.predictor->split : 0;
}

split_scores::wanted prefilled::of_predictor(const options& o) {
  split_scores::wanted out;
  for (const method& m : o.methods) {
    if (m.tokens && m.tokens->scorer == token_scorer::predictor) out.tokens = true;
    if (m.groups && m.groups->scorer == group_scorer::predictor) out.groups = true;
  }
  return out;
}

sequence_extras prefilled::extras(const options& o) const {
  sequence_extras e;
  e.window = static_cast<rota::index_t>(window_);
  e.fallback = o.fallback;
  for (const scored<3>& s : oracle_) {
    e.oracle.emplace_back(s.view.extent[0], s.view.extent[1], s.view.extent[2]);
    e.oracle.back().memory.assign(s.memory.begin(), s.memory.end());
  }
  e.shared = shared_;
  e.predicted = &predicted_;
  return e;
}

void prefilled::foresee(const model& lm, const prepared& sample, int width) {
  token_ids ids = sample.prompt;
  const token_ids& answer = sample.answers.at(sample.answers.size() > 1 ? sample.correct : 0);
  ids.insert(ids.end(), answer.begin(), answer.end());
  prefill_record record(lm, ids.size(), 0, 0);
  lm.forward(ids, dense_, 0, &record);
  for (std::size_t i = 0; i < dense_.layers(); ++i) {
    const scoring_context<element> context(dense_, record, i);
    const layer_context& c = context.get();
    scored<3> all(c.kv_heads(), c.tokens(), c.d_v() / width);
    scratch_memory scratch;
    score_groups(group_scorer::attention_mass, with_outputs(c, c.tokens(), nullptr, i), width,
                 dense_.backend(), scratch, all.view, "oracle");
    const auto kept = static_cast<rota::index_t>(sample.compressed());
    scored<3>& out = oracle_.emplace_back(c.kv_heads(), kept, c.d_v() / width);
    for (rota::index_t h = 0; h < c.kv_heads(); ++h) {
      std::copy_n(all.view.row(h, 0), kept * out.view.extent[2], out.view.row(h, 0));
    }
  }
  dense_.truncate(sample.compressed());
}

std::size_t measured_bytes(const packed_cache& cache) {
  std::size_t tails = 0;
  for (std::size_t i = 0; i < cache.layers(); ++i) {
    tails += static_cast<std::size_t>(
        cache.store(i).visit([](const auto& s) { return s.tail_bytes(); }));
  }
  return cache.allocated_bytes() - tails;
}

}  // namespace rota_lm::eval
