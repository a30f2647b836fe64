// The course of an adaptation: its name, its steps and what is shown of them.
#pragma once

#include <ostream>
#include <string>

#include "adapt/options.hpp"
#include "adapt/state_file.hpp"
#include "adapt/trainer.hpp"

namespace rota_lm {

/// Everything that the course of a run depends on, in words.
std::string describe_run(const adapt_options& o, const std::string& identity);

/// Trains to the end, from where the state file stands if there is one; shows a line of losses
/// every save_every steps, and keeps the state file up to date.
training_course train(const adapt_options& o, const std::string& run, trainer<float>& t,
                      std::ostream& out);

/// A JSON document: `run` and the looks in the order of their steps.
std::string course_json(const training_course& course, const std::string& run);

}  // namespace rota_lm
