#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include <rota/select/selection.hpp>
#include <rota/select/selectors.hpp>

// The selection contract (DESIGN section 3) by sorting. Slow on purpose; it shares nothing with
// the backends: floats are compared as floats, not by their keys.

namespace rota::reference {

struct kept_token {
  index_t index = 0;
  unsigned mask = 0;
  friend bool operator==(const kept_token&, const kept_token&) = default;
};

/// Kept tokens of each kv head of a layer, ascending.
using layer_selection = std::vector<std::vector<kept_token>>;

/// Something that a budget may keep. Items are listed in the order that breaks ties.
struct select_item {
  index_t unit = 0;  ///< items of one unit are ranked together
  index_t layer = 0, head = 0, token = 0;
  int group = 0;
  float score = 0;
  bool absent = false;   ///< counts as an item but cannot be kept
  bool guarded = false;  ///< kept in any case, unless absent
  bool kept = false;
};

/// Strict order of scores: NaN below everything, -0 equal to +0.
inline bool above(float a, float b) {
  return b != b ? a == a : a > b;
}

/// Decides `kept` for the items of each of `units` units.
template <class Budget>
status apply_budget(const typename Budget::params& params, std::vector<select_item>& items,
                    index_t units, const char* argument) {
  std::vector<std::vector<select_item*>> ranked(static_cast<std::size_t>(units));
  std::vector<index_t> all(ranked.size()), guarded(ranked.size());
  for (select_item& i : items) {
    const auto unit = static_cast<std::size_t>(i.unit);
    ++all[unit];
    i.kept = i.guarded && !i.absent;
    if (i.kept)
      ++guarded[unit];
    else if (!i.absent)
      ranked[unit].push_back(&i);
  }
  for (std::size_t u = 0; u < ranked.size(); ++u) {
    std::vector<select_item*>& list = ranked[u];
    if constexpr (counting_budget<Budget>) {
      const index_t count = Budget::count(params, all[u]) - guarded[u];
      if (count + guarded[u] < 0) return {errc::bad_count, argument};
      if (count < 0) return {errc::budget_too_small, argument};
      std::stable_sort(list.begin(), list.end(), [](const select_item* a, const select_item* b) {
        return above(a->score, b->score);
      });
      for (std::size_t i = 0; i < list.size() && static_cast<index_t>(i) < count; ++i)
        list[i]->kept = true;
    } else {
      for (select_item* i : list) i->kept = !above(Budget::threshold(params), i->score);
    }
  }
  return {};
}

/// Number of the unit that an item of a row (layer, kv head) belongs to; `row` counts over all
/// layers.
inline index_t unit_of(budget_scope scope, index_t row, index_t layer) {
  if (scope == budget_scope::span) return 0;
  return scope == budget_scope::layer ? layer : row;
}

template <class Budget>
constexpr budget_scope scope_of() {
  if constexpr (counting_budget<Budget>)
    return Budget::scope;
  else
    return budget_scope::head;
}

/// All tokens of all layers, those that survive marked.
template <class Tokens>
status select_tokens(std::span<const select_problem> problems,
                     const typename Tokens::params& params, std::span<const layer_scores> layers,
                     std::vector<select_item>& items) {
  index_t row = 0, units = 1;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const select_problem& p = problems[problems.size() == 1 ? 0 : l];
    for (index_t h = 0; h < p.kv_heads; ++h, ++row)
      for (index_t t = 0; t < p.tokens; ++t) {
        select_item i;
        i.layer = static_cast<index_t>(l);
        i.head = h;
        i.token = t;
        i.guarded = p.protect.covers(t, p.tokens);
        i.kept = true;
        if constexpr (Tokens::selects) {
          i.unit = unit_of(scope_of<typename Tokens::budget>(), row, i.layer);
          i.score = layers[l].tokens(h, t);
          units = std::max(units, i.unit + 1);
        }
        items.push_back(i);
      }
  }
  if constexpr (Tokens::selects)
    return apply_budget<typename Tokens::budget>(params.budget, items, units, "tokens");
  return {};
}

/// The groups of the survivors, those that stay marked. A budget counts all of them, so that a
/// ratio means the same for a token that lost groups before; what is not available is not kept.
/// At row scope protected tokens stand outside the budget.
template <class Groups>
status select_groups(std::span<const select_problem> problems,
                     const typename Groups::params& params, std::span<const layer_scores> layers,
                     const std::vector<select_item>& tokens, std::vector<select_item>& items) {
  index_t row = -1, units = 1, last_head = -1, last_layer = -1;
  index_t survivor = 0;
  for (const select_item& t : tokens) {
    if (t.head != last_head || t.layer != last_layer) ++row;
    last_head = t.head;
    last_layer = t.layer;
    if (!t.kept) continue;
    const auto l = static_cast<std::size_t>(t.layer);
    const select_problem& p = problems[problems.size() == 1 ? 0 : l];
    for (int g = 0; g < p.groups; ++g) {
      select_item i = t;
      i.group = g;
      i.absent = p.available.data != nullptr && !(p.available(t.head, t.token) >> g & 1);
      i.kept = !i.absent;
      i.unit = 0;
      if constexpr (Groups::selects) {
        constexpr budget_scope scope = scope_of<typename Groups::budget>();
        i.score = layers[l].groups(t.head, t.token, g);
        i.unit = scope == budget_scope::row ? survivor : unit_of(scope, row, t.layer);
        units = std::max(units, i.unit + 1);
      }
      items.push_back(i);
    }
    ++survivor;
  }
  if constexpr (Groups::selects) {
    using Budget = typename Groups::budget;
    if constexpr (scope_of<Budget>() == budget_scope::row) {
      std::vector<select_item> ranked;
      for (const select_item& i : items)
        if (!i.guarded) ranked.push_back(i);
      const status s = apply_budget<Budget>(params.budget, ranked, units, "groups");
      auto next = ranked.begin();
      for (select_item& i : items) i.kept = i.guarded ? !i.absent : (next++)->kept;
      return s;
    } else {
      return apply_budget<Budget>(params.budget, items, units, "groups");
    }
  }
  return {};
}

/// What cpu::select() must give for valid arguments; `out` gets one entry a layer. Returns the
/// errors that only the budgets can find.
template <class Tokens, class Groups>
status select(std::span<const select_problem> problems, const typename Tokens::params& token_params,
              const typename Groups::params& group_params, std::span<const layer_scores> layers,
              std::vector<layer_selection>& out) {
  std::vector<select_item> tokens, groups;
  if (status s = select_tokens<Tokens>(problems, token_params, layers, tokens); !s) return s;
  if (status s = select_groups<Groups>(problems, group_params, layers, tokens, groups); !s)
    return s;
  out.clear();
  for (std::size_t l = 0; l < layers.size(); ++l)
    out.emplace_back(static_cast<std::size_t>(problems[problems.size() == 1 ? 0 : l].kv_heads));
  auto next = groups.begin();
  for (const select_item& t : tokens) {
    if (!t.kept) continue;
    kept_token kept{t.token, 0};
    for (; next != groups.end() && next->layer == t.layer && next->head == t.head &&
           next->token == t.token;
         ++next)
      if (next->kept) kept.mask |= 1u << next->group;
    const auto l = static_cast<std::size_t>(t.layer);
    const bool drops = problems[problems.size() == 1 ? 0 : l].drop_empty;
    if (kept.mask == 0 && drops && !t.guarded) continue;
    out[l][static_cast<std::size_t>(t.head)].push_back(kept);
  }
  return {};
}

}  // namespace rota::reference
