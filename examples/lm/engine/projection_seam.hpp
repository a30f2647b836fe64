// What stands between the model and whoever adds to its projections.
#pragma once

#include <cstddef>

#include <rota/core/fingerprint.hpp>

#include "engine/matrix.hpp"
#include "engine/target.hpp"

namespace rota_lm {

/// Adds an adapter's part to a projection. Any number of threads may call at once.
class projection_adapters {
 public:
  virtual ~projection_adapters() = default;

  /// x [n, in], y [n, out] with the dense projection of x on entry.
  virtual void add(std::size_t layer, target t, const matrix& x, matrix& y) const = 0;

  /// Everything that tells these adapters from others.
  virtual void describe(rota::fingerprint& f) const = 0;
};

}  // namespace rota_lm
