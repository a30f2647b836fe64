// fit_predictor --model DIR --out FILE [...]: fits a predictor of relevance to a checkpoint.
// fit_predictor --help lists the options.
#include <iostream>

#include "engine/run_program.hpp"
#include "fit/options.hpp"
#include "fit/program.hpp"

int main(int argc, char** argv) {
  return rota_lm::run_program("fit_predictor", [&] {
    rota_lm::fit_predictor(rota_lm::parse_fit_options(argc, argv), std::cout);
  });
}
