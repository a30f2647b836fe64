#pragma once

#include <string>

namespace rota_lm::results {

/// Today in UTC, as 2026-01-31.
std::string today();

}  // namespace rota_lm::results
