// A checkpoint with what adapt made of it: its adapters, its basis, its value routing.
#pragma once

#include <string>

#include "engine/model.hpp"
#include "engine/value_routing.hpp"

namespace rota_lm {

struct adapted_model {
  model lm;
  value_routing routing;
};

/// Reads the checkpoint in `directory` and the adapters and value routing in `adapter`, either of
/// which may be missing but not both.
adapted_model load_adapted(const std::string& directory, const std::string& adapter);

}  // namespace rota_lm
