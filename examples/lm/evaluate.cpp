// evaluate --model DIR [...]: what compression costs in quality, at measured bytes.
// evaluate/options.hpp lists the arguments; evaluate --help prints them.
#include <exception>
#include <iostream>
#include <new>
#include <string_view>

#include "evaluate/program.hpp"

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::cout << rota_lm::eval::usage;
    return 0;
  }
  try {
    rota_lm::eval::run(rota_lm::eval::parse_options(argc, argv), std::cout);
    return 0;
  } catch (const std::bad_alloc&) {
    std::cerr << "evaluate: out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << "evaluate: " << problem.what() << '\n';
  }
  return 1;
}
