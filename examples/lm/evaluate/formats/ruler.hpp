// Files in RULER's form (Hsieh et al., arXiv 2404.06654): a JSON object a line, of "input" and
// "outputs". Also in the form with the two parts apart: "context", "question" and "answer".
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "evaluate/task.hpp"

namespace rota_lm::eval {

struct ruler_sample {
  std::string where;  ///< "file:line"
  std::string context;
  std::string question;                 ///< with the beginning of the answer, where one is given
  std::vector<std::string> references;  ///< all of which the answer should contain
  std::size_t new_tokens = 0;           ///< 0: the line does not say
};

/// All samples of a file; empty lines do not count. Throws on a malformed line, with its number.
std::vector<ruler_sample> read_ruler(const std::string& path);

/// RULER keeps a task's samples in TASK/validation.jsonl, others in TASK.jsonl.
std::string ruler_name(const std::string& path);

/// `new_tokens`: how many are written where the file does not say.
task ruler_task(const std::string& path, std::size_t new_tokens, const options& o,
                const model_config& config, const tokenizer& text);

}  // namespace rota_lm::eval
