// What the main of every program does beside its work.
#pragma once

#include <functional>
#include <string_view>

#include "engine/command_line.hpp"

namespace rota_lm {

/// Prints `help` for --help, else calls work(). An exception becomes one line on standard error
/// that begins with the program's name, and the exit status 1.
int run_program(const char* name, std::string_view help, int argc, const char* const* argv,
                const std::function<void()>& work);

/// The same where work() parses a command_line: what --help and --version ask for goes to standard
/// output.
int run_program(const char* name, const std::function<void()>& work);

/// The same for programs whose work parses a command_line: its help goes to standard output.
template <class Work>
int run_program(const char* name, Work&& work) {
  try {
    work();
    return 0;
  } catch (const help_wanted& help) {
    std::cout << help.what() << std::flush;
    return std::cout ? 0 : 1;
  } catch (const std::bad_alloc&) {
    std::cerr << name << ": out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << name << ": " << problem.what() << '\n';
  }
  return 1;
}

}  // namespace rota_lm
