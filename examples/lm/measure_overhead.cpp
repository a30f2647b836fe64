// measure_overhead --model DIR [...]: what compression costs beside the prefill it follows. Time of
// scoring, selection and packing, what the observers add to the prefill itself, and peak memory of
// the process. measure_overhead --help prints the arguments.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <malloc.h>
#include <nlohmann/json.hpp>

#include "engine/command_line.hpp"
#include "engine/dense_cache.hpp"
#include "engine/json.hpp"
#include "engine/run_program.hpp"
#include "engine/text_file.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/decode_timing.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/program.hpp"
#include "evaluate/task.hpp"

namespace {

using namespace rota_lm;
using clock_type = std::chrono::steady_clock;

double seconds_since(clock_type::time_point start) {
  return std::chrono::duration<double>(clock_type::now() - start).count();
}

/// Peak resident memory of the process in kilobytes since reset_peak().
double peak_kilobytes() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    double value = 0;
    if (word == "VmHWM:" && in >> value) return value;
  }
  fail("/proc/self/status", "has no VmHWM");
}

/// What earlier rounds left in the heap goes back first: it would count as this one's.
void reset_peak() {
  ::malloc_trim(0);
  std::ofstream out("/proc/self/clear_refs");
  out << "5" << std::flush;
  if (!out) fail("/proc/self/clear_refs", "cannot be written: peak memory cannot be measured");
}

/// One prefill and one compression of it.
struct round_times {
  double plain, observed, score, select, fit, pack;
  double prefill_peak, compress_peak;
};

round_times measure(const model& lm, const eval::prepared& sample, const eval::options& o,
                    eval::shared_extras shared, const eval::method& how) {
  round_times t{};
  reset_peak();
  {
    dense_cache<eval::element> cache(lm.config(), sample.prefill.size() + sample.room());
    const auto start = clock_type::now();
    lm.forward(sample.prefill, cache, 0);
    t.plain = seconds_since(start);
  }
  t.prefill_peak = peak_kilobytes();
  reset_peak();
  eval::counting_memory memory;
  auto start = clock_type::now();
  eval::prefilled prefill(lm, sample, o, memory, shared);
  t.observed = seconds_since(start) - prefill.predicted().seconds();
  eval::compressor compress = prefill.make_compressor(o);
  const eval::fractions half{0.48, 0.5};
  const auto bytes =
      static_cast<std::size_t>(0.375 * static_cast<double>(prefill.dense().used_bytes()));
  start = clock_type::now();
  if (!compress.try_select(how, half)) fail("measure_overhead", "nothing fits");
  const double both = seconds_since(start);  // scores are made once, then kept
  start = clock_type::now();
  compress.try_select(how, half);
  t.select = seconds_since(start);
  t.score = std::max(0.0, both - t.select) + prefill.predicted().seconds();
  start = clock_type::now();
  if (!compress.fit(how, 0.5, bytes)) fail("measure_overhead", "nothing fits");
  t.fit = seconds_since(start);
  start = clock_type::now();
  packed_cache cache(lm.config(), {}, &memory.packed);
  compress.pack(sample.room(), cache);
  t.pack = seconds_since(start);
  t.compress_peak = peak_kilobytes();
  return t;
}

/// The median over the rounds of f(round).
template <class F>
double median_of(const std::vector<round_times>& rounds, F&& f) {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const round_times& r : rounds) values.push_back(f(r));
  return eval::median(std::move(values));
}

/// A method's row. Shares are of the plain prefill of the same round.
eval::ordered_json row_of(const std::string& name, const std::vector<round_times>& rounds) {
  const auto share = [&](auto&& seconds) {
    return median_of(rounds, [&](const round_times& r) { return seconds(r) / r.plain; });
  };
  using r = const round_times&;
  eval::ordered_json row;
  row["method"] = name;
  row["prefill_ms"] = 1000 * median_of(rounds, [](r t) { return t.plain; });
  row["observing"] = share([](r t) { return t.observed - t.plain; });
  row["score"] = share([](r t) { return t.score; });
  row["select"] = share([](r t) { return t.select; });
  row["fit"] = share([](r t) { return t.fit; });
  row["pack"] = share([](r t) { return t.pack; });
  row["the_three"] = share([](r t) { return t.score + t.select + t.pack; });
  row["within_bytes"] = share([](r t) { return t.score + t.fit + t.pack; });
  row["peak_memory_ratio"] =
      median_of(rounds, [](r t) { return t.compress_peak / t.prefill_peak; });
  return row;
}

void show(const eval::ordered_json& row) {
  const auto number = [&](const char* key) { return row.at(key).get<double>(); };
  std::printf("%-48s %9.1f", row.at("method").get<std::string>().c_str(), number("prefill_ms"));
  for (const char* key :
       {"observing", "score", "select", "fit", "pack", "the_three", "within_bytes"}) {
    std::printf(" %8.2f%%", 100 * number(key));
  }
  std::printf(" %10.3f\n", number("peak_memory_ratio"));
  std::fflush(stdout);
}

void run(int argc, char** argv) {
  eval::options o;
  o.tasks = {synth::task::needle};
  o.when = eval::protocol::seen;
  std::uint64_t rounds = 9;
  command_line line("measure_overhead", "What compression costs beside the prefill it follows");
  line.text("model", o.model, "Folder of a checkpoint in the Hugging Face format");
  line.text("predictor", o.predictor, "File of fit_predictor");
  line.count("context", o.context, 128, 1 << 20, "Tokens");
  line.count("rounds", rounds, 1, 1000, "Each figure is the median of so many");
  line.text("json", o.json, "File for the rows as JSON");
  line.require("model");
  line.parse(argc, argv);
  const model lm = model::load(o.model);
  const tokenizer text = tokenizer::load(o.model);
  eval::check_before(o, lm.config(), {});
  const eval::run_extras extras = eval::find_extras(o, lm);
  const eval::prepared sample =
      eval::synthetic_task(synth::task::needle, o, lm.config(), text).make(0);

  std::vector<std::string> names = {"expected_attention:keep_ratio+value_norm:fixed_k",
                                    "snapkv:keep_ratio+value_norm:fixed_k",
                                    "key_diff:keep_ratio+value_norm:fixed_k",
                                    "tova:keep_ratio+value_norm:fixed_k",
                                    "lag_kv:keep_ratio+value_norm:fixed_k",
                                    "critical:keep_ratio+value_norm:fixed_k",
                                    "observed_attention:keep_ratio+value_norm:fixed_k",
                                    "expected_attention:keep_ratio+wo_norm:fixed_k",
                                    "expected_attention:keep_ratio+attention_mass:keep_ratio"};
  if (extras.predictor) {
    names.push_back("predictor:keep_ratio+value_norm:fixed_k");
    names.push_back("predictor:keep_ratio+predictor:global_top_m");
  }
  std::printf("%zu tokens, one thread, medians of %zu rounds; shares are of the plain prefill\n",
              sample.compressed(), static_cast<std::size_t>(rounds));
  std::printf("%-48s %9s %9s %9s %9s %9s %9s %9s %9s %10s\n", "method", "prefill", "observing",
              "score", "select", "to bytes", "pack", "the three", "in bytes", "memory");
  std::printf("%-48s %9s %9s %9s %9s %9s %9s %9s %9s %10s\n", "", "ms", "", "", "", "", "",
              "by ratio", "", "peak ratio");
  eval::ordered_json document;
  document["tokens"] = sample.compressed();
  document["rounds"] = rounds;
  for (const std::string& name : names) {
    o.methods = {eval::parse_method(name, {}, {}, {}, "method")};
    const eval::run_extras own = eval::find_extras(o, lm);
    std::vector<round_times> all;
    for (std::size_t i = 0; i < rounds; ++i) {
      all.push_back(measure(lm, sample, o, own.shared(), o.methods[0]));
    }
    document["rows"].push_back(row_of(name, all));
    show(document["rows"].back());
  }
  if (!o.json.empty()) write_file(o.json, document.dump(1) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("measure_overhead", [&] { run(argc, argv); });
}
