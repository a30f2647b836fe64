// A sample as token ids, cut where the protocol says that the cache is compressed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "evaluate/options.hpp"

namespace rota_lm::eval {

using token_ids = std::vector<token_id>;

/// How an answer is scored.
enum class scoring {
  perplexity,  ///< loss of the one answer's tokens
  exact,       ///< greedy decoding gives the one answer
  choice,      ///< the likeliest of the answers is the right one
  contains     ///< share of the references that stand in what greedy decoding writes
};

/// What a task asks, before a protocol cuts it.
struct written_sample {
  scoring how = scoring::exact;
  std::string where;                    ///< what an error names: an option, or a file and line
  token_ids context;                    ///< with what the tokenizer puts before a text
  token_ids question;                   ///< may be empty
  std::vector<token_ids> answers;       ///< one, or the choices
  std::size_t correct = 0;              ///< of the choices
  std::vector<std::string> references;  ///< of scoring::contains
  std::size_t new_tokens = 0;           ///< of scoring::contains: so many are written at most
  double depth = 0;                     ///< where the asked statement stands, 0..1
};

/// Everything that rows need of a sample.
///
/// Where the prefill is the whole prompt, its last token is taken back after it was seen and runs
/// once more through each row's own store: so already the first token of the answer comes from what
/// the row kept, not from the dense prefill.
struct prepared {
  scoring how = scoring::exact;
  token_ids prefill;               ///< what runs densely
  std::size_t taken_back = 0;      ///< so many of its last tokens are not compressed
  token_ids prompt;                ///< what runs through each row: at least one token
  token_ids question;              ///< the prompt of the row without context
  std::vector<token_ids> answers;  ///< one, or the choices
  std::size_t correct = 0;
  std::vector<std::string> references;
  std::size_t new_tokens = 0;
  std::size_t question_prefilled = 0;  ///< question tokens at the end of the prefill, all counted
  double depth = 0;
  bool wants_logits = false;  ///< of the prefill's last token

  /// Tokens that are compressed.
  std::size_t compressed() const { return prefill.size() - taken_back; }
  /// Tokens that a row appends at most.
  std::size_t room() const;
};

/// Throws where the sample is longer than `max_positions` (0: no limit).
prepared cut(written_sample s, protocol when, std::size_t max_positions);

}  // namespace rota_lm::eval
