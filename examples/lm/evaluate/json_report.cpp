#include "evaluate/json_report.hpp"

#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

namespace rota_lm::eval {

namespace detail {

ordered_json number(double x) {
  if (!std::isfinite(x)) return nullptr;
  return std::round(x * 1e6) / 1e6;
}

ordered_json range_of(const estimate& x) {
  if (!x.known()) return nullptr;
  return ordered_json::array({number(x.range.low), number(x.range.high)});
}

}  // namespace detail

namespace {

using detail::number;
using detail::range_of;

/// The keys that say how a row came to be; the same in all rows of a run but for the selectors.
void add_setting(const evaluation& e, const row_result& r, ordered_json& out) {
  const options& o = e.how;
  out["protocol"] = name_of(protocol_names, o.when);
  out["token_selector"] = describe(r.spec.how.tokens);
  out["group_selector"] = describe(r.spec.how.groups);
  out["fill"] = name_of(fill_names, o.stand_in);
  out["context"] = o.context;
  out["sinks"] = o.sinks;
  out["window"] = o.window;
  out["seed"] = o.seed;
  out["kv_bytes_ratio_worst_sample"] =
      number(r.bytes.worst_ratio > 0 ? r.bytes.worst_ratio : r.spec.kv_budget);
  out["dense_bytes_while_packed_decodes"] = e.dense_bytes_while_packed_decodes;
  out["memory_checks"] = e.memory_checks;
}

void add_intervals(const evaluation& e, const row_result& r, ordered_json& out) {
  ordered_json intervals, differences, difference_ranges, chance;
  for (const task& t : e.tasks) {
    intervals[t.name] = range_of(score_of(r, t, e.how.seed));
    const estimate d = difference_to_dense(e, r, t);
    differences[t.name] = number(d.value);
    difference_ranges[t.name] = range_of(d);
    if (!t.is_perplexity()) chance[t.name] = t.chance;
  }
  out["interval_95"] = intervals;
  out["difference_to_dense"] = differences;
  out["difference_interval_95"] = difference_ranges;
  out["chance"] = chance;
}

}  // namespace

void add_scores(const evaluation& e, const row_result& r, ordered_json& out) {
  for (const auto& [name, kind] : task_names) out[std::string(name)] = nullptr;
  for (const task& t : e.tasks) {
    out[t.name] = detail::number(score_of(r, t, e.how.seed).value);
    if (!t.words.empty()) out["word_perplexity"] = detail::number(word_perplexity(r, t));
  }
}

ordered_json sample_counts(const evaluation& e) {
  ordered_json out;
  for (const task& t : e.tasks) out[t.name] = t.samples;
  return out;
}

ordered_json row_json(const evaluation& e, const row_result& r) {
  using detail::number;
  ordered_json out;
  out["method"] = r.spec.how.name;
  out["tokens_kept"] = number(tokens_kept(r));
  out["rho"] = number(groups_kept(r));
  out["kv_budget"] = number(r.spec.kv_budget);
  out["kv_bytes_ratio"] = number(bytes_ratio(r));
  out["read_bytes_ratio"] = number(read_bytes_ratio(r));
  add_scores(e, r, out);
  out["n"] = e.how.samples;
  out["samples"] = sample_counts(e);
  out["decode_ms_per_token"] = number(r.decode_ms);
  out["attend_time_ratio"] = number(r.attend_time_ratio);
  if (!r.failure.empty()) out["failure"] = r.failure;
  add_setting(e, r, out);
  add_intervals(e, r, out);
  return out;
}

ordered_json results_json(const evaluation& e) {
  ordered_json rows = ordered_json::array();
  for (const row_result& r : e.rows) rows.push_back(row_json(e, r));
  return rows;
}

}  // namespace rota_lm::eval
