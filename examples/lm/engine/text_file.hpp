// Text files as results: written whole or not at all. Devices and pipes are written to as they are.
#pragma once

#include <string>

namespace rota_lm {

/// Refuses a path that could not be written later: to be called before the work whose result it
/// takes. Leaves nothing behind.
void check_writable(const std::string& path);

void write_file(const std::string& path, const std::string& text);

}  // namespace rota_lm
