#include "evaluate/sample.hpp"

#include <algorithm>
#include <utility>

#include "engine/error.hpp"

namespace rota_lm::eval {

std::size_t prepared::room() const {
  std::size_t longest = new_tokens;
  for (const token_ids& a : answers) longest = std::max(longest, a.size());
  return prompt.size() + longest;
}

prepared cut(written_sample s, protocol when, std::size_t max_positions) {
  if (s.context.empty()) fail(s.where, "a sample without context");
  prepared p;
  p.how = s.how;
  p.prefill = std::move(s.context);
  const bool seen = when == protocol::seen || s.question.empty();
  if (seen) {
    p.prefill.insert(p.prefill.end(), s.question.begin(), s.question.end());
    p.question_prefilled = s.question.size();
    p.taken_back = 1;
  }
  p.prompt = seen ? token_ids{p.prefill.back()} : s.question;
  p.question = s.question.empty() ? p.prompt : std::move(s.question);
  p.answers = std::move(s.answers);
  p.correct = s.correct;
  p.references = std::move(s.references);
  p.new_tokens = s.new_tokens;
  p.depth = s.depth;
  const std::size_t length = p.prefill.size() + p.room();
  if (max_positions != 0 && length > max_positions) {
    fail(s.where, "a sample of " + std::to_string(length) + " tokens is longer than the model's " +
                      std::to_string(max_positions));
  }
  return p;
}

}  // namespace rota_lm::eval
