#include "evaluate/score_cache.hpp"

#include <string>

#include "engine/model_outputs.hpp"
#include "engine/predictor_file.hpp"
#include "evaluate/split_scores.hpp"

namespace rota_lm::eval {
namespace {

std::string where(std::size_t layer) {
  return "scores of layer " + std::to_string(layer);
}

/// A token matters as much as all its groups.
void add_groups(const rota::view<float, 3>& from, const rota::view<float, 2>& to) {
  for (rota::index_t h = 0; h < to.extent[0]; ++h) {
    for (rota::index_t i = 0; i < to.extent[1]; ++i) {
      for (rota::index_t s = 0; s < from.extent[2]; ++s) to(h, i) += from(h, i, s);
    }
  }
}

}  // namespace

std::vector<rota::layer_scores> score_cache::of(const method& m,
                                                const std::vector<layer_context>& contexts) {
  std::vector<rota::layer_scores> out(contexts.size());
  const method early = without_predictor(m, extras_.fallback);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    const method& mine = i < split_of(m) ? early : m;
    if (mine.tokens) out[i].tokens = tokens(mine.tokens->scorer, contexts[i], i).view;
    if (mine.groups) out[i].groups = groups(mine.groups->scorer, contexts[i], i).view;
  }
  return out;
}

std::size_t score_cache::split_of(const method& m) const {
  return m.uses_predictor() ? extras_.shared.predictor->split : 0;
}

const scored<2>& score_cache::tokens(token_scorer which, const layer_context& c,
                                     std::size_t layer) {
  if (which == token_scorer::predictor) return extras_.predicted->tokens().at(layer);
  const auto [found, fresh] =
      tokens_.try_emplace(std::pair(which, layer), c.kv_heads(), c.tokens());
  const scored<2>& out = found->second;
  if (!fresh) return out;
  if (which == token_scorer::oracle) {
    add_groups(extras_.oracle.at(layer).view, out.view);
  } else {
    score_tokens(which, with_outputs(c, c.tokens(), extras_.shared.outputs, layer), sinks_,
                 backend_, scratch_, out.view, where(layer));
  }
  return out;
}

const scored<3>& score_cache::groups(group_scorer which, const layer_context& c,
                                     std::size_t layer) {
  if (which == group_scorer::oracle) return extras_.oracle.at(layer);
  if (which == group_scorer::predictor) return extras_.predicted->groups().at(layer);
  const auto [found, fresh] = groups_.try_emplace(std::pair(which, layer), c.kv_heads(), c.tokens(),
                                                  c.d_v() / group_width_);
  const scored<3>& out = found->second;
  if (fresh) {
    score_groups(which, with_outputs(c, extras_.window, extras_.shared.outputs, layer),
                 group_width_, backend_, scratch_, out.view, where(layer));
  }
  return out;
}

}  // namespace rota_lm::eval
