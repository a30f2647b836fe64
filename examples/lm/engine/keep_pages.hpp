// Freed memory that stays in the process.
#pragma once

namespace rota_lm {

/// Passes allocate the same matrices again and again. By default the C library returns the larger
/// ones to the system each time, and a third of the time of training goes into fetching and
/// clearing pages. Peaks are as high as before; what lies under them is kept.
void keep_pages();

}  // namespace rota_lm
