#include "evaluate/method.hpp"

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <system_error>
#include <utility>

namespace rota_lm::eval {

bool method::uses(token_scorer t, group_scorer g) const {
  return (tokens && tokens->scorer == t) || (groups && groups->scorer == g);
}

bool method::uses_outputs() const {
  return uses(token_scorer::critical, group_scorer::wo_norm) ||
         (groups && groups->scorer == group_scorer::attention_mass_wo);
}

bool method::uses_moments() const {
  return tokens && (tokens->scorer == token_scorer::expected_attention ||
                    tokens->scorer == token_scorer::critical);
}

method without_predictor(method m, const fallback_choice& f) {
  if (m.tokens && m.tokens->scorer == token_scorer::predictor) m.tokens = f.tokens;
  if (m.groups && m.groups->scorer == group_scorer::predictor) m.groups = f.groups;
  return m;
}

std::string describe(const std::optional<token_choice>& c) {
  if (!c) return "-";
  return name_of(token_scorer_names, c->scorer) + ":" + name_of(budget_names, c->rule);
}

std::string describe(const std::optional<group_choice>& c) {
  if (!c) return "-";
  return name_of(group_scorer_names, c->scorer) + ":" + name_of(budget_names, c->rule);
}

namespace detail {

double ratio(const std::string& word, std::string_view where) {
  double value = 0;
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
  const bool whole = problem == std::errc() && end == word.data() + word.size();
  if (!whole || !(value >= 0 && value <= 1)) {
    fail(where, "\"" + printable(word, 40) + "\" is not a number in [0, 1]");
  }
  return value;
}

}  // namespace detail

namespace {

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

}  // namespace

method parse_method(const std::string& name, const token_choice& tokens, const group_choice& groups,
                    const group_choice& every_token, std::string_view where) {
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
  if (first != "-") m.tokens = find_selector<token_choice>(token_scorer_names, first, where);
  if (plus != std::string::npos) {
    m.groups = find_selector<group_choice>(group_scorer_names, all.substr(plus + 1), where);
    if (!m.groups || (!m.tokens && first != "-")) refuse_method(m, where);
  } else if (!m.tokens) {
    // A name that both levels have is a token scorer's when it stands alone.
    m.groups = find_selector<group_choice>(group_scorer_names, first, where);
    if (!m.groups) refuse_method(m, where);
  }
  return m;
}

std::string row_spec::title() const {
  if ((!packed() && !reading()) || how.adapted) return how.name;
  std::string number = std::to_string(kv_budget);
  number.erase(number.find_last_not_of('0') + 1);
  if (number.back() == '.') number += '0';
  return how.name + " at " + number;
}

std::vector<row_spec> list_rows(const std::vector<method>& methods,
                                const std::vector<double>& budgets,
                                const std::vector<double>& every_token_budgets,
                                const std::vector<double>& rhos) {
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
