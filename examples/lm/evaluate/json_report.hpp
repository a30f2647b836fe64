// The results as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "evaluate/results.hpp"

namespace rota_lm::eval {

using ordered_json = nlohmann::ordered_json;

namespace detail {

/// null for what is not known; six places, so that files can be read.
ordered_json number(double x);
ordered_json range_of(const estimate& x);

}  // namespace detail

/// A score a task; those that a run leaves out of the synthetic ones are null, so that every run
/// has the same columns.
void add_scores(const evaluation& e, const row_result& r, ordered_json& out);

/// Samples of each task; the files of some have fewer than were asked for.
ordered_json sample_counts(const evaluation& e);
ordered_json row_json(const evaluation& e, const row_result& r);

/// An array of rows.
ordered_json results_json(const evaluation& e);

}  // namespace rota_lm::eval
