#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <vector>

#include <rota/policy/concepts.hpp>
#include <rota/select/selection.hpp>

// The selection contract (docs/policies.md) by sorting. Slow on purpose, and it shares nothing with
// the backends: it compares floats as floats, not by their keys.

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
  index_t row = 0;   ///< (layer, kv head), over all layers
  index_t layer = 0, head = 0, token = 0;
  int group = 0;
  float score = 0;
  bool absent = false;   ///< counts as an item but cannot be kept
  bool guarded = false;  ///< kept in any case, unless absent
  bool kept = false;
};

/// What a budget is told of a unit beside its items.
struct select_unit {
  budget_place place;  ///< of its first head
  index_t rows = 0;    ///< heads in it
  int type = 0;        ///< of the token, where the unit is one
};

/// Strict order of scores: NaN below everything, -0 equal to +0.
inline bool above(float a, float b) {
  return b != b ? a == a : a > b;
}

/// Keeps the best `count` of the ranked items that are not kept yet, all or those of one row.
inline void keep_best(const std::vector<select_item*>& ranked, index_t count, index_t row = -1) {
  for (select_item* i : ranked) {
    if (count <= 0) return;
    if (i->kept || (row >= 0 && i->row != row)) continue;
    i->kept = true;
    --count;
  }
}

/// One unit under a counting budget: `items` are all of it, `ranked` those to choose from, best
/// first.
template <counting_budget Budget>
status keep_by_count(const typename Budget::params& params, const select_unit& unit,
                     const std::vector<select_item*>& items,
                     const std::vector<select_item*>& ranked, const char* argument) {
  const index_t count =
      budget_count<Budget>(params, static_cast<index_t>(items.size()), unit.place);
  if (count < 0) return {errc::bad_count, argument};
  if constexpr (floored_budget<Budget>) {
    const index_t floor = Budget::floor(params, count, unit.rows);
    if (floor < 0) return {errc::bad_count, argument};
    std::map<index_t, index_t> guarded;  // by row
    for (const select_item* i : items) guarded[i->row] += i->kept;
    for (const auto& [row, kept] : guarded) keep_best(ranked, floor - kept, row);
  }
  index_t left = count;
  for (const select_item* i : items) left -= i->kept;
  if (left < 0) return {errc::budget_too_small, argument};
  keep_best(ranked, left);
  return {};
}

/// One token's groups, best first, under a budget that reads their scores. Stands for
/// entropy_span: the fewest whose softmax mass reaches params.mass, in double.
template <row_budget Budget>
void keep_by_mass(const typename Budget::params& params, const std::vector<select_item*>& ranked) {
  double total = 0, have = 0;
  std::vector<double> weights;
  for (const select_item* i : ranked) {
    if (i->score != i->score) break;
    const double best = ranked[0]->score;
    weights.push_back(i->score == ranked[0]->score ? 1 : std::exp(i->score - best));
    total += weights.back();
  }
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (params.mass < 1 && have >= params.mass * total) return;
    ranked[k]->kept = true;
    have += weights[k];
  }
}

/// Decides `kept` for the items of each unit.
template <class Budget>
status apply_budget(const typename Budget::params& params, std::vector<select_item>& items,
                    const std::vector<select_unit>& units, const char* argument) {
  std::vector<std::vector<select_item*>> all(units.size()), ranked(units.size());
  for (select_item& i : items) {
    const auto unit = static_cast<std::size_t>(i.unit);
    i.kept = i.guarded && !i.absent;
    all[unit].push_back(&i);
    if (!i.kept && !i.absent) ranked[unit].push_back(&i);
  }
  for (std::size_t u = 0; u < units.size(); ++u) {
    std::stable_sort(
        ranked[u].begin(), ranked[u].end(),
        [](const select_item* a, const select_item* b) { return above(a->score, b->score); });
    if constexpr (counting_budget<Budget>) {
      const status s = keep_by_count<Budget>(params, units[u], all[u], ranked[u], argument);
      if (!s) return s;
    } else if constexpr (typed_budget<Budget>) {
      keep_best(ranked[u], Budget::count_of_type(params, std::ssize(all[u]), units[u].type));
    } else if constexpr (row_budget<Budget>) {
      keep_by_mass<Budget>(params, ranked[u]);
    } else {
      for (select_item* i : ranked[u]) i->kept = !above(Budget::threshold(params), i->score);
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
    return row_budget<Budget> || typed_budget<Budget> ? budget_scope::row : budget_scope::head;
}

inline const select_problem& problem_of(std::span<const select_problem> problems, std::size_t l) {
  return problems[problems.size() == 1 ? 0 : l];
}

/// The units of a scope over so many layers; a row stands for a head.
inline std::vector<select_unit> list_units(std::span<const select_problem> problems,
                                           std::size_t layers, budget_scope scope) {
  std::vector<select_unit> units;
  for (std::size_t l = 0; l < layers; ++l) {
    const select_problem& p = problem_of(problems, l);
    for (index_t h = 0; h < p.kv_heads; ++h) {
      const bool more = !units.empty() &&
                        (scope == budget_scope::span || (scope == budget_scope::layer && h > 0));
      if (!more) units.push_back({p.place_of(h), 0, 0});
      ++units.back().rows;
    }
  }
  return units;
}

/// Whether no query behind the last token sees token t.
inline bool is_expired(const select_problem& p, index_t t) {
  const auto position = [&](index_t i) {
    return p.positions.data != nullptr ? index_t{p.positions(i)} : i;
  };
  return p.sliding_window > 0 && position(p.tokens - 1) + 1 - position(t) >= p.sliding_window;
}

/// All tokens of all layers, those that survive marked.
template <level_budget Tokens>
status select_tokens(std::span<const select_problem> problems,
                     const typename Tokens::params& params, std::span<const layer_scores> layers,
                     std::vector<select_item>& items) {
  index_t row = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const select_problem& p = problem_of(problems, l);
    for (index_t h = 0; h < p.kv_heads; ++h, ++row)
      for (index_t t = 0; t < p.tokens; ++t) {
        select_item i;
        i.layer = static_cast<index_t>(l);
        i.row = row;
        i.head = h;
        i.token = t;
        i.absent = is_expired(p, t);
        i.guarded = p.protect.covers(t, p.tokens);
        i.kept = !i.absent;
        if constexpr (selects_by<Tokens>) {
          i.unit = unit_of(scope_of<Tokens>(), row, i.layer);
          i.score = layers[l].tokens(h, t);
        }
        items.push_back(i);
      }
  }
  if constexpr (selects_by<Tokens>) {
    return apply_budget<Tokens>(params, items,
                                list_units(problems, layers.size(), scope_of<Tokens>()), "tokens");
  }
  return {};
}

inline select_unit unit_of_token(const select_problem& p, const select_item& i) {
  return {p.place_of(i.head), 1, p.type_of(i.token)};
}

/// Budgets of each token alone: protected tokens stand outside.
template <class Budget>
status apply_to_rows(const typename Budget::params& params, std::vector<select_item>& items,
                     std::span<const select_problem> problems) {
  std::vector<select_item> ranked;
  std::vector<select_unit> units;
  for (const select_item& i : items) {
    if (i.guarded) continue;
    if (ranked.empty() || ranked.back().row != i.row || ranked.back().token != i.token)
      units.push_back(unit_of_token(problem_of(problems, static_cast<std::size_t>(i.layer)), i));
    ranked.push_back(i);
    ranked.back().unit = static_cast<index_t>(units.size()) - 1;
  }
  const status s = apply_budget<Budget>(params, ranked, units, "groups");
  auto next = ranked.begin();
  for (select_item& i : items) i.kept = i.guarded ? !i.absent : (next++)->kept;
  return s;
}

/// The groups of the survivors, those that stay marked. A budget counts all of them, so that a
/// ratio means the same for a token that lost groups before; what is not available is not kept.
template <level_budget Groups>
status select_groups(std::span<const select_problem> problems,
                     const typename Groups::params& params, std::span<const layer_scores> layers,
                     const std::vector<select_item>& tokens, std::vector<select_item>& items) {
  for (const select_item& t : tokens) {
    if (!t.kept) continue;
    const auto l = static_cast<std::size_t>(t.layer);
    const select_problem& p = problem_of(problems, l);
    for (int g = 0; g < p.groups; ++g) {
      select_item i = t;
      i.group = g;
      i.absent = p.available.data != nullptr && !(p.available(t.head, t.token) >> g & 1);
      i.kept = !i.absent;
      if constexpr (selects_by<Groups>) {
        i.unit = unit_of(scope_of<Groups>(), t.row, t.layer);
        i.score = layers[l].groups(t.head, t.token, g);
      }
      items.push_back(i);
    }
  }
  if constexpr (selects_by<Groups>) {
    constexpr budget_scope scope = scope_of<Groups>();
    if constexpr (scope == budget_scope::row)
      return apply_to_rows<Groups>(params, items, problems);
    else
      return apply_budget<Groups>(params, items, list_units(problems, layers.size(), scope),
                                  "groups");
  }
  return {};
}

/// What cpu::select() must give for valid arguments; `out` gets one entry a layer. Returns the
/// errors that only the budgets can find.
template <level_budget Tokens, level_budget Groups>
status select(std::span<const select_problem> problems, const typename Tokens::params& token_params,
              const typename Groups::params& group_params, std::span<const layer_scores> layers,
              std::vector<layer_selection>& out) {
  std::vector<select_item> tokens, groups;
  if (status s = select_tokens<Tokens>(problems, token_params, layers, tokens); !s) return s;
  if (status s = select_groups<Groups>(problems, group_params, layers, tokens, groups); !s)
    return s;
  out.clear();
  for (std::size_t l = 0; l < layers.size(); ++l)
    out.emplace_back(static_cast<std::size_t>(problem_of(problems, l).kv_heads));
  auto next = groups.begin();
  for (const select_item& t : tokens) {
    if (!t.kept) continue;
    kept_token kept{t.token, 0};
    for (; next != groups.end() && next->layer == t.layer && next->head == t.head &&
           next->token == t.token;
         ++next)
      if (next->kept) kept.mask |= 1u << next->group;
    const auto l = static_cast<std::size_t>(t.layer);
    const bool drops = problem_of(problems, l).drop_empty;
    if (kept.mask == 0 && drops && !t.guarded) continue;
    out[l][static_cast<std::size_t>(t.head)].push_back(kept);
  }
  return {};
}

}  // namespace rota::reference
