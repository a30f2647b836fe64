// A finished adaptation as a file.
#pragma once

#include <string>

#include "results/adaptation_run.hpp"

namespace rota_lm::results {

/// `run` says in words which run this is the outcome of.
void save_finished(const finished_adaptation& f, const std::string& run, const std::string& path);

/// Throws where the file is of another run.
finished_adaptation read_finished(const adaptation_spec& spec, const std::string& path,
                                  const std::string& run);

}  // namespace rota_lm::results
