#pragma once

#include <cstddef>

#include <rota/core/workspace.hpp>

#include "engine/cache_memory.hpp"

namespace rota_lm {

/// Scratch memory that is kept from call to call, as large as the largest asked for.
class scratch_memory {
 public:
  rota::workspace at_least(std::size_t bytes) {
    if (memory_.size() < bytes) memory_ = cache_buffer(bytes);
    return {memory_.data(), memory_.size()};
  }

 private:
  cache_buffer memory_;
};

}  // namespace rota_lm
