// What is compared: methods, each a token selector, a group selector, both or neither, and the
// rows of the table, each a method at a budget.
#pragma once

#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate/policies.hpp"

namespace rota_lm::eval {

struct token_choice {
  token_scorer scorer = token_scorer::expected_attention;
  budget rule = budget::keep_ratio;
};
struct group_choice {
  group_scorer scorer = group_scorer::value_norm;
  budget rule = budget::fixed_k;
};

struct method {
  std::string name;
  std::optional<token_choice> tokens;  ///< none: every token survives
  std::optional<group_choice> groups;  ///< none: survivors stay whole
  /// Kept fraction of the survivors' groups where both levels select; none: the run's.
  std::optional<double> rho = std::nullopt;
  /// Nothing is evicted: each step reads a part, chosen by the bounds of its pages (Quest). Its
  /// budgets are of bytes read.
  bool reads_pages = false;
  /// An adapted model's own routing: rho is what it keeps of the groups, bytes follow from it.
  bool adapted = false;

  bool dense() const { return !tokens && !groups && !reads_pages && !adapted; }
  bool both() const { return tokens && groups; }
  bool uses(token_scorer t, group_scorer g) const {
    return (tokens && tokens->scorer == t) || (groups && groups->scorer == g);
  }
  bool uses_predictor() const { return uses(token_scorer::predictor, group_scorer::predictor); }
  /// Whether a scorer looks behind the output projection.
  bool uses_outputs() const {
    return uses(token_scorer::critical, group_scorer::wo_norm) ||
           (groups && groups->scorer == group_scorer::attention_mass_wo);
  }
  /// Whether a scorer reads moments of the queries.
  bool uses_moments() const {
    return tokens && (tokens->scorer == token_scorer::expected_attention ||
                      tokens->scorer == token_scorer::critical);
  }
  bool uses_oracle() const { return uses(token_scorer::oracle, group_scorer::oracle); }
};

/// What stands in for the predictor in the layers up to its split, which it says nothing of.
struct fallback_choice {
  token_choice tokens;
  group_choice groups;

  bool uses_outputs() const { return method{"fallback", tokens, groups}.uses_outputs(); }
  bool uses_moments() const { return method{"fallback", tokens, groups}.uses_moments(); }
};

inline method without_predictor(method m, const fallback_choice& f) {
  if (m.tokens && m.tokens->scorer == token_scorer::predictor) m.tokens = f.tokens;
  if (m.groups && m.groups->scorer == group_scorer::predictor) m.groups = f.groups;
  return m;
}

/// "expected_attention:keep_ratio", "-" where every token survives.
inline std::string describe(const std::optional<token_choice>& c) {
  if (!c) return "-";
  return name_of(token_scorer_names, c->scorer) + ":" + name_of(budget_names, c->rule);
}
inline std::string describe(const std::optional<group_choice>& c) {
  if (!c) return "-";
  return name_of(group_scorer_names, c->scorer) + ":" + name_of(budget_names, c->rule);
}

namespace detail {

/// A ratio in [0, 1].
inline double ratio(const std::string& word, std::string_view where) {
  double value = 0;
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
  const bool whole = problem == std::errc() && end == word.data() + word.size();
  if (!whole || !(value >= 0 && value <= 1)) {
    fail(where, "\"" + printable(word, 40) + "\" is not a number in [0, 1]");
  }
  return value;
}

[[noreturn]] inline void refuse_method(const method& m, std::string_view where) {
  fail(where, "\"" + printable(m.name, 80) +
                  "\" is not dense, token_only, subtoken_only, token_x_subtoken, quest, adapted or "
                  "SCORER:BUDGET[+SCORER:BUDGET] of scorers " +
                  list_names(token_scorer_names) + " (tokens), " + list_names(group_scorer_names) +
                  " (groups); - before the + for every token, @RHO behind for a rho of its own");
}

/// One SCORER:BUDGET of the level whose names are in `table`; nothing where the scorer is of the
/// other level.
template <class Choice, class Table>
std::optional<Choice> find_selector(const Table& table, std::string_view text,
                                    std::string_view where) {
  const std::size_t colon = text.find(':');
  const auto scorer = find_name(table, text.substr(0, colon));
  if (colon == std::string_view::npos || !scorer) return {};
  return Choice{*scorer, value_of(budget_names, text.substr(colon + 1), where)};
}

}  // namespace detail

/// A method by name; `tokens` and `groups` are what the named ones are made of, `every_token` the
/// groups of subtoken_only.
inline method parse_method(const std::string& name, const token_choice& tokens,
                           const group_choice& groups, const group_choice& every_token,
                           std::string_view where) {
  if (name == "dense") return {name, {}, {}, {}};
  if (name == "token_only") return {name, tokens, {}, {}};
  if (name == "subtoken_only") return {name, {}, every_token, {}};
  if (name == "token_x_subtoken") return {name, tokens, groups, {}};
  method m{name, {}, {}, {}};
  m.reads_pages = name == "quest";
  m.adapted = name == "adapted";
  if (m.reads_pages || m.adapted) return m;
  std::string_view all(name);
  if (const std::size_t at = all.find('@'); at != std::string_view::npos) {
    m.rho = detail::ratio(name.substr(at + 1), where);
    all = all.substr(0, at);
  }
  const std::size_t plus = all.find('+');
  const std::string_view first = all.substr(0, plus);
  if (first != "-")
    m.tokens = detail::find_selector<token_choice>(token_scorer_names, first, where);
  if (plus != std::string::npos) {
    m.groups = detail::find_selector<group_choice>(group_scorer_names, all.substr(plus + 1), where);
    if (!m.groups || (!m.tokens && first != "-")) detail::refuse_method(m, where);
  } else if (!m.tokens) {
    // A name that both levels have is a token scorer's when it stands alone.
    m.groups = detail::find_selector<group_choice>(group_scorer_names, first, where);
    if (!m.groups) detail::refuse_method(m, where);
  }
  return m;
}

/// A row of the table.
struct row_spec {
  enum class kind { no_context, dense, packed, reading };
  kind what = kind::packed;
  method how;
  double kv_budget = 1;

  bool packed() const { return what == kind::packed; }
  bool reading() const { return what == kind::reading; }
  /// "token_only at 0.375".
  std::string title() const {
    if ((!packed() && !reading()) || how.adapted) return how.name;
    std::string number = std::to_string(kv_budget);
    number.erase(number.find_last_not_of('0') + 1);
    if (number.back() == '.') number += '0';
    return how.name + " at " + number;
  }
};

/// The rows: without context and dense for orientation, then every method at each of its budgets.
/// A method that keeps every token keeps every key, half of all bytes where d_k = d_v, and so has
/// budgets of its own; an adapted model has shares of groups.
inline std::vector<row_spec> list_rows(const std::vector<method>& methods,
                                       const std::vector<double>& budgets,
                                       const std::vector<double>& every_token_budgets,
                                       const std::vector<double>& rhos = {}) {
  std::vector<row_spec> rows{{row_spec::kind::no_context, {"no_context", {}, {}, {}}, 0},
                             {row_spec::kind::dense, {"dense", {}, {}, {}}, 1}};
  for (const method& m : methods) {
    if (m.dense()) continue;
    for (std::size_t i = 0; m.adapted && i < rhos.size(); ++i) {
      method own = m;
      char number[24];
      std::snprintf(number, sizeof number, "@%g", rhos[i]);
      own.name += number;
      own.rho = rhos[i];
      rows.push_back({row_spec::kind::packed, std::move(own), 1});
    }
    if (m.adapted) continue;
    const row_spec::kind what = m.reads_pages ? row_spec::kind::reading : row_spec::kind::packed;
    for (const double b : m.tokens || m.reads_pages ? budgets : every_token_budgets) {
      rows.push_back({what, m, b});
    }
  }
  return rows;
}

}  // namespace rota_lm::eval
