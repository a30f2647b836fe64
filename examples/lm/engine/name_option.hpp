// Options whose values are names.
#pragma once

#include <string>
#include <string_view>

#include "engine/command_line.hpp"
#include "engine/error.hpp"

namespace rota_lm {

/// The names of a table of (name, value) pairs, with ", " between them.
template <class Table>
std::string list_of_names(const Table& table) {
  std::string out;
  for (const auto& entry : table) out += (out.empty() ? "" : ", ") + std::string(entry.first);
  return out;
}

/// The value of a name; throws, naming all that are known, where it is none. `where`: the option.
template <class Table>
auto value_of_name(const Table& table, std::string_view word, const std::string& where) {
  for (const auto& entry : table)
    if (entry.first == word) return entry.second;
  fail(where, "\"" + printable(word, 40) + "\" is not one of " + list_of_names(table));
}

/// Declares an option that takes a name of the table, which must outlive parse(). The value found
/// in place is the default.
template <class Table, class Value>
void name_option(command_line& line, const std::string& name, const Table& table, Value& value,
                 const std::string& help) {
  std::string otherwise;
  for (const auto& entry : table)
    if (entry.second == value) otherwise = std::string(entry.first);
  const auto read = [&table, &value, name](const std::string& word) {
    value = value_of_name(table, word, "--" + name);
  };
  line.word(name, otherwise, read, help + ": " + list_of_names(table));
}

}  // namespace rota_lm
