#include "engine/run_program.hpp"

#include <exception>
#include <iostream>
#include <new>

namespace rota_lm {

int run_program(const char* name, std::string_view help, int argc, const char* const* argv,
                const std::function<void()>& work) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::cout << help << std::flush;
    return std::cout ? 0 : 1;
  }
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    std::cerr << name << ": out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << name << ": " << problem.what() << '\n';
  }
  return 1;
}

}  // namespace rota_lm
