// The post_processor section of tokenizer.json: special tokens put around a text's own.
#pragma once

#include <vector>

#include "engine/config.hpp"
#include "engine/json.hpp"

namespace rota_lm {

/// TemplateProcessing (of single texts), ByteLevel (which concerns offsets only) and sequences of
/// them; others are refused by name.
class post_processor {
 public:
  post_processor() = default;
  explicit post_processor(const json_field& field);

  /// Puts the special tokens around `ids`.
  void apply(std::vector<token_id>& ids) const;

  /// Every id that apply() can add.
  std::vector<token_id> ids() const;

 private:
  void read(const json_field& field);
  void read_template(const json_field& field);

  std::vector<token_id> before_;
  std::vector<token_id> after_;
};

}  // namespace rota_lm
