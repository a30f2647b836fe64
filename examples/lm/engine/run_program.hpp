// What the main of every program does beside its work.
#pragma once

#include <functional>
#include <string_view>

namespace rota_lm {

/// Prints `help` for --help, else calls work(). An exception becomes one line on standard error
/// that begins with the program's name, and the exit status 1.
int run_program(const char* name, std::string_view help, int argc, const char* const* argv,
                const std::function<void()>& work);

/// The same where work() parses a command_line: what --help and --version ask for goes to standard
/// output.
int run_program(const char* name, const std::function<void()>& work);

}  // namespace rota_lm
