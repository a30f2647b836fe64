#pragma once

// Eigen, included in one way. g++ 12 warns about its own AVX-512 intrinsics (its bug 105593); the
// warnings are silenced where those are defined, which is here if nothing included them before.

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Dense>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
