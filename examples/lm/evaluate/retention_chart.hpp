// retention.svg: how many groups each token keeps, across the context and within tokens.
#pragma once

#include <string>

#include "evaluate/results.hpp"

namespace rota_lm::eval {

/// One map below the other; a page without maps where no row selects groups.
std::string retention_svg(const evaluation& e);

}  // namespace rota_lm::eval
