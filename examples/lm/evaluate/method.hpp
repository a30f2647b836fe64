// What is compared: methods, each a token selector, a group selector, both or neither, and the
// rows of the table, each a method at a budget.
#pragma once

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
  bool uses(token_scorer t, group_scorer g) const;
  bool uses_predictor() const { return uses(token_scorer::predictor, group_scorer::predictor); }
  /// Whether a scorer looks behind the output projection.
  bool uses_outputs() const;
  /// Whether a scorer reads moments of the queries.
  bool uses_moments() const;
  bool uses_oracle() const { return uses(token_scorer::oracle, group_scorer::oracle); }
};

/// What stands in for the predictor in the layers up to its split, which it says nothing of.
struct fallback_choice {
  token_choice tokens;
  group_choice groups;

  bool uses_outputs() const { return method{"fallback", tokens, groups}.uses_outputs(); }
  bool uses_moments() const { return method{"fallback", tokens, groups}.uses_moments(); }
};

method without_predictor(method m, const fallback_choice& f);

/// "expected_attention:keep_ratio", "-" where every token survives.
std::string describe(const std::optional<token_choice>& c);
std::string describe(const std::optional<group_choice>& c);

namespace detail {

/// A ratio in [0, 1].
double ratio(const std::string& word, std::string_view where);

}  // namespace detail

/// A method by name; `tokens` and `groups` are what the named ones are made of, `every_token` the
/// groups of subtoken_only.
method parse_method(const std::string& name, const token_choice& tokens, const group_choice& groups,
                    const group_choice& every_token, std::string_view where);

/// A row of the table.
struct row_spec {
  enum class kind { no_context, dense, packed, reading };
  kind what = kind::packed;
  method how;
  double kv_budget = 1;

  bool packed() const { return what == kind::packed; }
  bool reading() const { return what == kind::reading; }
  /// "token_only at 0.375".
  std::string title() const;
};

/// The rows: without context and dense for orientation, then every method at each of its budgets.
/// A method that keeps every token keeps every key, half of all bytes where d_k = d_v, and so has
/// budgets of its own; an adapted model has shares of groups.
std::vector<row_spec> list_rows(const std::vector<method>& methods,
                                const std::vector<double>& budgets,
                                const std::vector<double>& every_token_budgets,
                                const std::vector<double>& rhos = {});

}  // namespace rota_lm::eval
