// The value routing of an adapted model as a safetensors file beside its adapters.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "engine/value_basis.hpp"
#include "engine/value_routing.hpp"

namespace rota_lm {

struct model_config;

inline constexpr std::array<std::pair<std::string_view, group_rule>, 6> group_rule_names = {
    {{"all", group_rule::all},
     {"fixed_groups", group_rule::fixed_groups},
     {"value_norm", group_rule::value_norm},
     {"fixed_k", group_rule::fixed_k},
     {"adaptive_span", group_rule::adaptive_span},
     {"entropy_span", group_rule::entropy_span}}};
inline constexpr std::array<std::pair<std::string_view, router_form>, 3> router_form_names = {
    {{"per_head", router_form::per_head},
     {"shared", router_form::shared},
     {"hierarchical", router_form::hierarchical}}};
inline constexpr std::array<std::pair<std::string_view, fill_kind>, 3> fill_kind_names = {
    {{"zero", fill_kind::zero}, {"mean", fill_kind::mean}, {"low_rank", fill_kind::low_rank}}};

/// A routing, and the basis that its values are cut in.
struct routed_values {
  value_routing routing;
  value_basis basis;
  std::string run;  ///< the run of adapt that made it, the same in all its files; empty: unknown
  bool adapted = false;  ///< adapters of the same run belong to it
};

namespace detail {

template <class Table, class Enum>
std::string word_of(const Table& table, Enum value) {
  for (const auto& [name, known] : table)
    if (known == value) return std::string(name);
  return "?";
}

}  // namespace detail

void save_value_routing(const routed_values& values, const model_config& c,
                        const std::string& path);

/// Throws when the file is not a value routing, was made for another model, or its tensors are not
/// what it says.
routed_values load_value_routing(const std::string& path, const model_config& c);

}  // namespace rota_lm
