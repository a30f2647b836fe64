// The library's policies by name, as command lines say them.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/error.hpp"

namespace rota_lm::eval {

enum class token_scorer {
  window_sink,
  key_norm,
  key_diff,
  expected_attention,
  snapkv,
  tova,
  observed_attention,
  lag_kv,
  critical,
  predictor,
  oracle
};
enum class group_scorer {
  value_norm,
  wo_norm,
  attention_mass,
  attention_mass_wo,
  pooled_attention_mass,
  predictor,
  oracle
};
enum class budget { keep_ratio, fixed_k, global_top_m, adaptive_span, head_adaptive, pyramid };
enum class fill { zero, mean };

template <class Enum>
using named = std::pair<std::string_view, Enum>;

inline constexpr std::array token_scorer_names{
    named<token_scorer>{"window_sink", token_scorer::window_sink},
    named<token_scorer>{"key_norm", token_scorer::key_norm},
    named<token_scorer>{"key_diff", token_scorer::key_diff},
    named<token_scorer>{"expected_attention", token_scorer::expected_attention},
    named<token_scorer>{"snapkv", token_scorer::snapkv},
    named<token_scorer>{"tova", token_scorer::tova},
    named<token_scorer>{"observed_attention", token_scorer::observed_attention},
    named<token_scorer>{"lag_kv", token_scorer::lag_kv},
    named<token_scorer>{"critical", token_scorer::critical},
    named<token_scorer>{"predictor", token_scorer::predictor},
    named<token_scorer>{"oracle", token_scorer::oracle}};
inline constexpr std::array group_scorer_names{
    named<group_scorer>{"value_norm", group_scorer::value_norm},
    named<group_scorer>{"wo_norm", group_scorer::wo_norm},
    named<group_scorer>{"attention_mass", group_scorer::attention_mass},
    named<group_scorer>{"attention_mass_wo", group_scorer::attention_mass_wo},
    named<group_scorer>{"pooled_attention_mass", group_scorer::pooled_attention_mass},
    named<group_scorer>{"predictor", group_scorer::predictor},
    named<group_scorer>{"oracle", group_scorer::oracle}};
inline constexpr std::array budget_names{named<budget>{"keep_ratio", budget::keep_ratio},
                                         named<budget>{"fixed_k", budget::fixed_k},
                                         named<budget>{"global_top_m", budget::global_top_m},
                                         named<budget>{"adaptive_span", budget::adaptive_span},
                                         named<budget>{"head_adaptive", budget::head_adaptive},
                                         named<budget>{"pyramid", budget::pyramid}};
inline constexpr std::array fill_names{named<fill>{"zero", fill::zero},
                                       named<fill>{"mean", fill::mean}};

template <class Table>
auto find_name(const Table& table, std::string_view name) {
  std::optional<typename Table::value_type::second_type> found;
  for (const auto& [known, value] : table) {
    if (known == name) found = value;
  }
  return found;
}

/// The names of a table, for error messages: "a, b or c".
template <class Table>
std::string list_names(const Table& table) {
  std::string out;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (i > 0) out += i + 1 == table.size() ? " or " : ", ";
    out += table[i].first;
  }
  return out;
}

/// What a name stands for; `where` is the option that holds it.
template <class Table>
auto value_of(const Table& table, std::string_view name, std::string_view where) {
  const auto found = find_name(table, name);
  if (!found) fail(where, "\"" + printable(name, 40) + "\" is not " + list_names(table));
  return *found;
}

template <class Table, class Enum>
std::string name_of(const Table& table, Enum value) {
  for (const auto& [name, known] : table) {
    if (known == value) return std::string(name);
  }
  return "?";
}

}  // namespace rota_lm::eval
