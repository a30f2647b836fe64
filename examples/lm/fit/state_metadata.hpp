// What the states of a fit and of a training have in common: checked as they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/safetensors.hpp"

namespace rota_lm {

/// A whole number of the metadata, up to `most`.
std::uint64_t state_number(const safetensors_file& file, const std::string& key,
                           std::uint64_t most);

/// Throws unless the file is a state of this format and of this run; `kind` ("fit") names it.
void check_state(const safetensors_file& file, const std::string& format, const std::string& run,
                 const std::string& kind);

/// A tensor [size] of finite numbers.
std::vector<float> state_vector(const safetensors_file& file, const std::string& name,
                                std::size_t size);

/// Means of squares, none of which is negative.
std::vector<float> state_squares(const safetensors_file& file, const std::string& name,
                                 std::size_t size);

/// The rows of "course", whose first column is a step: rising, up to the state's own.
std::vector<float> state_course(const safetensors_file& file, std::size_t columns,
                                std::size_t step);

}  // namespace rota_lm
