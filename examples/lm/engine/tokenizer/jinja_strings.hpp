// The string literals of a Jinja template, by which its kind is recognised.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rota_lm {

/// The string literals in the expressions and statements of a template, in order, escapes
/// resolved. Text outside of them and comments are passed over.
std::vector<std::string> jinja_strings(std::string_view source);

}  // namespace rota_lm
