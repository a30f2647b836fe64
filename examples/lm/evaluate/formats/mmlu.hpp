// Folders in MMLU's form (Hendrycks et al., arXiv 2009.03300): dev/SUBJECT_dev.csv and
// test/SUBJECT_test.csv with rows of question, four choices and the letter of the right one.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "evaluate/task.hpp"

namespace rota_lm::eval {

struct mmlu_question {
  std::string where;  ///< "file:line"
  std::string question;
  std::array<std::string, 4> choices;
  std::size_t correct = 0;
};

struct mmlu_subject {
  std::string name;                  ///< as in prompts: "college physics"
  std::vector<mmlu_question> shots;  ///< solved examples
  std::vector<mmlu_question> asked;
};

std::vector<mmlu_question> read_mmlu_file(const std::string& path);

/// All subjects of a folder by name, each with `shots` solved examples.
std::vector<mmlu_subject> read_mmlu(const std::string& folder, std::size_t shots);

/// A question as models are asked: its choices lettered, and "Answer:".
std::string mmlu_prompt(const mmlu_question& q);

/// What stands before the question: the subject and the solved examples.
std::string mmlu_context(const mmlu_subject& s);

/// The likeliest of " A" to " D" after the question; the subject's header and its solved examples
/// are the context. Samples are drawn from all subjects, in an order that follows from the seed.
task mmlu_task(const std::string& folder, std::size_t shots, const options& o,
               const model_config& config, const tokenizer& text);

}  // namespace rota_lm::eval
