// Comma-separated values as RFC 4180 has them: fields may stand in quotes, and then hold commas,
// line ends and doubled quotes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rota_lm::eval {

struct csv_row {
  std::string where;  ///< "file:line", of the row's first line
  std::vector<std::string> fields;
};

/// All rows of a file's text. Throws on what is not CSV, with file and line.
std::vector<csv_row> parse_csv(std::string_view text, const std::string& path);

}  // namespace rota_lm::eval
