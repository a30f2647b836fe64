#include "engine/tokenizer/bounds.hpp"

#include <algorithm>

#include "engine/error.hpp"

namespace rota_lm {

void check_pattern(const json_field& field, std::size_t bytes) {
  if (bytes > max_pattern_bytes) {
    fail(field.where(), "has " + std::to_string(bytes) + " bytes, at most " +
                            std::to_string(max_pattern_bytes) + " are supported");
  }
}

void check_step_count(const json_field& part, std::size_t steps) {
  static constexpr std::size_t most = 256;
  if (steps > most) {
    fail(part.where(), "is beyond the " + std::to_string(most) + " steps that are supported");
  }
}

void growth_bound::check(std::size_t bytes) const {
  const std::size_t most = std::max(short_text, factor * given_);
  if (bytes > most || made_ > most - bytes) {
    fail(where_, "makes " + std::to_string(given_) + " bytes of text more than " +
                     std::to_string(factor) + " times as long, which is refused: use the " +
                     "tokenizer.json that the model was trained with");
  }
}

}  // namespace rota_lm
