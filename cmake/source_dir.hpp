#pragma once

namespace rota_own {

/// The folder of this checkout: where tests and programs find the files that come with it. A
/// function, since a macro would be part of every command line, and no object of one checkout could
/// be taken from the compiler cache by another.
const char* source_dir();

}  // namespace rota_own
