#include "engine/run_program.hpp"

#include <exception>
#include <iostream>
#include <new>

#include "engine/command_line.hpp"

namespace rota_lm {

namespace {

int print(std::string_view text) {
  std::cout << text << std::flush;
  return std::cout ? 0 : 1;
}

}  // namespace

int run_program(const char* name, std::string_view help, int argc, const char* const* argv,
                const std::function<void()>& work) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") return print(help);
  return run_program(name, work);
}

int run_program(const char* name, const std::function<void()>& work) {
  try {
    work();
    return 0;
  } catch (const help_wanted& help) {
    return print(help.what());
  } catch (const std::bad_alloc&) {
    std::cerr << name << ": out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << name << ": " << problem.what() << '\n';
  }
  return 1;
}

}  // namespace rota_lm
