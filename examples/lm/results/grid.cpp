#include "results/grid.hpp"

namespace rota_lm::results {

const std::vector<double> every_budget = {1, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125};
namespace {

const std::vector<double> some_budgets = {0.5, 0.375, 0.25};
/// Every token kept: every key is, and keys are half of the bytes.
const std::vector<double> whole_key_budgets = {0.75, 0.625, 0.5625};

}  // namespace

const std::vector<double> goal_budgets = {0.375, 0.25};

const std::string goal_method = "predictor:keep_ratio+value_norm:fixed_k@0.75";

namespace {

method named_method(const std::string& name) {
  return eval::parse_method(name, {}, {}, {}, "grid");
}

void add_rows(std::vector<row_spec>& rows, const std::string& name,
              const std::vector<double>& budgets) {
  for (const double b : budgets) {
    rows.push_back({row_spec::kind::packed, named_method(name), b});
  }
}

std::vector<row_spec> reference_rows() {
  return {{row_spec::kind::no_context, {"no_context", {}, {}, {}}, 0},
          {row_spec::kind::dense, {"dense", {}, {}, {}}, 1}};
}

}  // namespace

std::vector<row_spec> grid_rows() {
  std::vector<row_spec> rows = reference_rows();
  const std::string tokens = "expected_attention:keep_ratio";
  add_rows(rows, tokens, every_budget);
  for (const char* groups :
       {"value_norm:fixed_k", "wo_norm:fixed_k", "attention_mass:keep_ratio",
        "pooled_attention_mass:keep_ratio", "predictor:global_top_m", "oracle:global_top_m"}) {
    add_rows(rows, tokens + "+" + groups, every_budget);
  }
  for (const char* both : {"predictor:keep_ratio", "predictor:keep_ratio+predictor:global_top_m",
                           "predictor:keep_ratio+predictor:keep_ratio@0.75"}) {
    add_rows(rows, both, every_budget);
  }
  add_rows(rows, goal_method, every_budget);
  add_rows(rows, "oracle:keep_ratio+oracle:global_top_m", every_budget);
  for (const char* other : {"window_sink", "key_norm", "key_diff", "snapkv", "tova",
                            "observed_attention", "lag_kv", "critical", "oracle"}) {
    add_rows(rows, std::string(other) + ":keep_ratio", some_budgets);
  }
  add_rows(rows, "key_diff:keep_ratio+value_norm:fixed_k@0.75", some_budgets);
  for (const double b : some_budgets) {
    rows.push_back({row_spec::kind::reading, named_method("quest"), b});
  }
  for (const char* groups :
       {"value_norm:keep_ratio", "predictor:global_top_m", "oracle:global_top_m"}) {
    add_rows(rows, std::string("-+") + groups, whole_key_budgets);
  }
  return rows;
}

const std::vector<std::string> goal_rivals = {"snapkv:keep_ratio", "tova:keep_ratio",
                                              "key_diff:keep_ratio", "predictor:keep_ratio"};

std::vector<row_spec> goal_rows() {
  std::vector<row_spec> rows = reference_rows();
  add_rows(rows, goal_method, goal_budgets);
  for (const std::string& name : goal_rivals) add_rows(rows, name, goal_budgets);
  return rows;
}

std::string category(const row_spec& row) {
  if (!row.packed()) return row.how.name;
  if (!row.how.groups) return "token_only";
  return row.how.tokens ? "token_x_subtoken" : "subtoken_only";
}

}  // namespace rota_lm::results
