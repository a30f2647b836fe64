// The tasks that a command line asks for.
#pragma once

#include <vector>

#include "evaluate/task.hpp"

namespace rota_lm::eval {

/// Refers to the tokenizer. Reads the files that the options name, and throws where they are
/// malformed.
std::vector<task> make_tasks(const options& o, const model_config& config, const tokenizer& text);

}  // namespace rota_lm::eval
