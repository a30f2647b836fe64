// The scores of a span of layers, by each scorer that a method asks for, made once.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "engine/rota_call.hpp"
#include "engine/scoring_context.hpp"
#include "evaluate/method.hpp"

namespace rota_lm::eval {

using element = rota::bf16;
using layer_context = scoring_context<element>::context_type;

class score_cache {
 public:
  /// `sinks`: tokens that scorers which ask should leave out.
  score_cache(int group_width, rota::index_t sinks, rota::cpu::backend backend)
      : group_width_(group_width), sinks_(sinks), backend_(backend) {}

  /// Views of the scores that a method selects by; they stay valid as long as this. The contexts
  /// must be the same in every call.
  std::vector<rota::layer_scores> of(const method& m, const std::vector<layer_context>& contexts) {
    std::vector<rota::layer_scores> out(contexts.size());
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      if (m.tokens) out[i].tokens = tokens(m.tokens->scorer, contexts)[i].view;
      if (m.groups) out[i].groups = groups(m.groups->scorer, contexts)[i].view;
    }
    return out;
  }

 private:
  /// One layer's scores and the memory that they lie in.
  template <int Rank>
  struct scored {
    std::vector<float> memory;
    rota::view<float, Rank> view;
  };

  static std::string where(std::size_t layer) { return "scores of layer " + std::to_string(layer); }

  const std::vector<scored<2>>& tokens(token_scorer which,
                                       const std::vector<layer_context>& contexts) {
    std::vector<scored<2>>& out = tokens_[which];
    if (!out.empty()) return out;
    with_token_scorer(which, [&]<class Scorer>() {
      typename Scorer::params p;
      if constexpr (requires { p.sinks; }) p.sinks = sinks_;
      for (const layer_context& c : contexts) {
        scored<2>& s = out.emplace_back();
        s.memory.resize(static_cast<std::size_t>(c.kv_heads() * c.tokens()));
        s.view = rota::view<float, 2>(s.memory.data(), c.kv_heads(), c.tokens());
        const rota::workspace ws =
            scratch_.at_least(rota::cpu::score_tokens_workspace_bytes(backend_, Scorer{}, p, c));
        require(rota::cpu::score_tokens(backend_, Scorer{}, p, c, s.view, ws),
                where(out.size() - 1));
      }
    });
    return out;
  }

  const std::vector<scored<3>>& groups(group_scorer which,
                                       const std::vector<layer_context>& contexts) {
    std::vector<scored<3>>& out = groups_[which];
    if (!out.empty()) return out;
    with_group_scorer(which, [&]<class Scorer>() {
      const typename Scorer::params p;
      for (const layer_context& c : contexts) {
        const rota::index_t of_token = c.d_v() / group_width_;
        scored<3>& s = out.emplace_back();
        s.memory.resize(static_cast<std::size_t>(c.kv_heads() * c.tokens() * of_token));
        s.view = rota::view<float, 3>(s.memory.data(), c.kv_heads(), c.tokens(), of_token);
        const rota::workspace ws = scratch_.at_least(
            rota::cpu::score_groups_workspace_bytes(backend_, Scorer{}, p, c, group_width_));
        require(rota::cpu::score_groups(backend_, Scorer{}, p, c, group_width_, s.view, ws),
                where(out.size() - 1));
      }
    });
    return out;
  }

  int group_width_;
  rota::index_t sinks_;
  rota::cpu::backend backend_;
  std::map<token_scorer, std::vector<scored<2>>> tokens_;
  std::map<group_scorer, std::vector<scored<3>>> groups_;
  scratch_memory scratch_;
};

}  // namespace rota_lm::eval
