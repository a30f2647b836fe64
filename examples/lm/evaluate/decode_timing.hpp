// How long a token takes to decode through each row's store, the whole model included.
#pragma once

#include <vector>

#include "engine/model.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/options.hpp"
#include "evaluate/results.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::eval {

double median(std::vector<double> values);

/// Fills decode_ms of all rows: medians over rounds that take turns between the packed rows. The
/// dense cache is gone before they decode, as everywhere. One thread: on a model this small, waking
/// others costs more than they do.
void time_decoding(const model& lm, const task& t, const options& o, shared_extras shared,
                   counting_memory& memory, std::vector<row_result>& rows);

}  // namespace rota_lm::eval
