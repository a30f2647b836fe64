// adapt --model DIR --out DIR [...]: adapts a checkpoint to a domain and to a budget of value
// groups. adapt --help lists the options.
#include <iostream>

#include "adapt/options.hpp"
#include "adapt/program.hpp"
#include "engine/keep_pages.hpp"
#include "engine/run_program.hpp"

int main(int argc, char** argv) {
  rota_lm::keep_pages();
  return rota_lm::run_program(
      "adapt", [&] { rota_lm::adapt(rota_lm::parse_adapt_options(argc, argv), std::cout); });
}
