// What the state of a fit or of a training says of itself.
#pragma once

#include <cstdint>
#include <string>

#include "engine/safetensors.hpp"

namespace rota_lm {

/// A count in a state's metadata. Throws where there is none.
std::uint64_t state_number(const safetensors_file& file, const std::string& key);
/// Throws where the file is not a state.
const std::string& state_text(const safetensors_file& file, const char* key);

}  // namespace rota_lm
