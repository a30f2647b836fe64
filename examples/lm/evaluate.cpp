// evaluate --model DIR [...]: what compression costs in quality, at measured bytes.
// evaluate --help lists the arguments.
#include <iostream>

#include "engine/run_program.hpp"
#include "evaluate/options.hpp"
#include "evaluate/program.hpp"

int main(int argc, char** argv) {
  return rota_lm::run_program(
      "evaluate", [&] { rota_lm::eval::run(rota_lm::eval::parse_options(argc, argv), std::cout); });
}
