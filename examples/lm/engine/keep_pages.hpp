// Freed memory that stays in the process.
#pragma once

#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace rota_lm {

/// Passes allocate the same matrices again and again. By default the C library returns the larger
/// ones to the system each time, and a third of the time of training goes into fetching and
/// clearing pages. Peaks are as high as before; what lies under them is kept.
inline void keep_pages() {
#if defined(__GLIBC__)
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 2'000'000'000);
#endif
}

}  // namespace rota_lm
