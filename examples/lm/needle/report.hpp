// The grid as tables, as JSON and as heat maps.
#pragma once

#include <cstddef>
#include <string>

#include "evaluate/json_report.hpp"
#include "evaluate/svg.hpp"
#include "needle/grid.hpp"

namespace rota_lm::needle {

/// A table a row: lines are lengths, columns depths, numbers percent.
std::string tables(const setting& s, const eval::evaluation& e);

/// One JSON row a cell of each row.
eval::ordered_json rows_json(const setting& s, const eval::evaluation& e);

/// A map a row, two beside each other.
std::string heat_maps(const setting& s, const eval::evaluation& e);

}  // namespace rota_lm::needle
