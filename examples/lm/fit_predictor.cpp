// fit_predictor --model DIR --out FILE [...]: fits a predictor of relevance to a checkpoint.
// fit/options.hpp lists the arguments; fit_predictor --help prints them.
#include <exception>
#include <iostream>
#include <new>
#include <string_view>

#include "fit/program.hpp"

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::cout << rota_lm::fit_usage;
    return 0;
  }
  try {
    rota_lm::fit_predictor(rota_lm::parse_fit_options(argc, argv), std::cout);
    return 0;
  } catch (const std::bad_alloc&) {
    std::cerr << "fit_predictor: out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << "fit_predictor: " << problem.what() << '\n';
  }
  return 1;
}
