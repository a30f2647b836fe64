// Bounds on what a tokenizer.json may ask for, so that a small file cannot cost much memory or
// time.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "engine/json.hpp"

namespace rota_lm {

/// The longest content of an added token and the longest pattern of a Replace, in bytes: both are
/// looked for at every place of a text.
inline constexpr std::size_t max_pattern_bytes = 1024;

/// Throws when a pattern (`what` of the field) is longer than max_pattern_bytes.
void check_pattern(const json_field& field, std::size_t bytes);

/// Throws when a part has more steps than fit: each goes over the whole text.
void check_step_count(const json_field& part, std::size_t steps);

/// How long a part of tokenizer.json may make a text: `factor` times as long as it was given, and a
/// short one `short_text` bytes. Steps that each double a text grow it without end otherwise.
class growth_bound {
 public:
  static constexpr std::size_t factor = 16, short_text = 256;

  /// `where` names the part in errors; `given` is how many bytes it is given.
  explicit growth_bound(std::string where = {}, std::size_t given = 0)
      : where_(std::move(where)), given_(given) {}

  /// The part is given more.
  void give(std::size_t bytes) { given_ += bytes; }

  /// Throws when `bytes` more than was made would be too much; to be called before memory is asked
  /// for.
  void check(std::size_t bytes) const;

  /// Counts what the part made.
  void make(std::size_t bytes) {
    check(bytes);
    made_ += bytes;
  }

 private:
  std::string where_;
  std::size_t given_;
  std::size_t made_ = 0;
};

}  // namespace rota_lm
