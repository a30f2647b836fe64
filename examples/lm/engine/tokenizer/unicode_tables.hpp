// Unicode's tables, generated: see make_unicode_tables.py.
#pragma once

#include <span>

namespace rota_lm::unicode {

struct range {
  char32_t first, last;
};
struct class_range {
  char32_t first, last;
  unsigned char combining_class;
};
struct decomposition {
  char32_t whole, first, second;
};

/// General categories L and N, runs in ascending order.
extern const std::span<const range> letters, numbers;
/// Non-zero canonical combining classes, runs in ascending order.
extern const std::span<const class_range> combining_classes;
/// Canonical decompositions that NFC composes again, by `whole`.
extern const std::span<const decomposition> pairs;
/// Canonical decompositions that NFC leaves apart, by `whole`; `second` may be 0.
extern const std::span<const decomposition> exclusions;

}  // namespace rota_lm::unicode
