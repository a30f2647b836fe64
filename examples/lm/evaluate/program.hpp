// The program, but for the command line and the exit code.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "engine/model.hpp"
#include "engine/model_outputs.hpp"
#include "engine/predictor_file.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "engine/value_routing.hpp"
#include "evaluate/options.hpp"
#include "evaluate/results.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::eval {

/// Refuses what would only be found out after minutes. `results`: the files that --out will hold.
void check_before(const options& o, const model_config& c,
                  std::initializer_list<const char*> results);
std::size_t packed_rows(const std::vector<row_result>& rows);

/// The predictor that the options name, if any. It must be for this model and, where it ranks
/// groups, for groups of this width; tokens it ranks for any.
std::optional<fitted_predictor> find_predictor(const options& o, const model& lm);

/// What the methods of a run ask for beside a sample.
struct run_extras {
  std::optional<fitted_predictor> predictor;
  std::optional<model_outputs> outputs;
  const value_routing* routing = nullptr;

  /// Refers to this.
  shared_extras shared() const;
};

run_extras find_extras(const options& o, const model& lm);

/// `routing`: of an adapted model; may be null.
evaluation evaluate(const options& o, const model& lm, const tokenizer& text,
                    std::vector<task> tasks, const value_routing* routing = nullptr);
evaluation evaluate(const options& o, const model& lm, const tokenizer& text,
                    const value_routing* routing = nullptr);
void report(const options& o, const evaluation& e, std::ostream& out);
void run(const options& o, std::ostream& out);

}  // namespace rota_lm::eval
