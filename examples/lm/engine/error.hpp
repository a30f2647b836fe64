// The one exception type of the engine, and how foreign text gets into its message.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rota_lm {

/// What every function of the engine throws: bad files, bad text, bad arguments.
/// what() is always a single line of printable characters: "where: what".
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Text from outside, made safe to print on one line: control and non-ASCII bytes become '?',
/// and everything beyond `limit` characters becomes "...".
std::string printable(std::string_view text, std::size_t limit = 200);

/// Text of many lines from outside, made safe to print: what a terminal would obey (control
/// characters but for line ends and tabs, escape sequences) becomes '?', all else stays.
std::string without_controls(std::string_view text);

/// Throws `error` with the message "where: what"; both may hold foreign text.
[[noreturn]] void fail(std::string_view where, std::string_view what);

}  // namespace rota_lm
