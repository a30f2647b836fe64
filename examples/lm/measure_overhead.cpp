// measure_overhead --model DIR [--predictor FILE] [--context 1024] [--rounds 9]
// What compression costs beside the prefill it follows: time of scoring, selection and packing,
// what the observers add to the prefill itself, and peak memory of the process.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "evaluate/program.hpp"

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

void reset_peak() {
  std::ofstream out("/proc/self/clear_refs");
  out << "5" << std::flush;
  if (!out) fail("/proc/self/clear_refs", "cannot be written: peak memory cannot be measured");
}

/// One prefill and one compression of it.
struct round_times {
  double plain, observed, score, select, pack;
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
  t.observed = seconds_since(start);
  eval::compressor compress = prefill.make_compressor(o);
  const eval::fractions half{0.48, 0.5};
  start = clock_type::now();
  if (!compress.try_select(how, half)) fail("measure_overhead", "nothing fits");
  const double both = seconds_since(start);  // scores are made once, then kept
  start = clock_type::now();
  compress.try_select(how, half);
  t.select = seconds_since(start);
  t.score = std::max(0.0, both - t.select);
  start = clock_type::now();
  eval::row_cache cache(lm.config(), {}, &memory.packed);
  compress.pack(sample.room(), cache);
  t.pack = seconds_since(start);
  t.compress_peak = peak_kilobytes();
  return t;
}

template <class Field>
double median_of(const std::vector<round_times>& rounds, Field field) {
  std::vector<double> values;
  for (const round_times& r : rounds) values.push_back(r.*field);
  return eval::median(std::move(values));
}

void show(const std::string& name, const std::vector<round_times>& rounds) {
  const double plain = median_of(rounds, &round_times::plain);
  const auto share = [&](double seconds) { return 100 * seconds / plain; };
  const double watching = median_of(rounds, &round_times::observed) - plain;
  const double score = median_of(rounds, &round_times::score);
  const double select = median_of(rounds, &round_times::select);
  const double pack = median_of(rounds, &round_times::pack);
  const double memory = median_of(rounds, &round_times::compress_peak) /
                        median_of(rounds, &round_times::prefill_peak);
  std::printf("%-48s %9.1f %8.2f%% %8.2f%% %8.2f%% %8.2f%% %8.2f%% %10.3f\n", name.c_str(),
              1000 * plain, share(watching), share(score), share(select), share(pack),
              share(score + select + pack), memory);
}

void run(int argc, char** argv) {
  const arguments given(argc, argv, {"model", "predictor", "context", "rounds"});
  eval::options o;
  o.model = given.text("model");
  o.tasks = {synth::task::needle};
  o.when = eval::protocol::seen;
  o.context = given.count("context", o.context, 128, 1 << 20);
  const auto rounds = given.count("rounds", 9, 1, 1000);
  if (given.has("predictor")) o.predictor = given.text("predictor");
  const model lm = model::load(o.model);
  const tokenizer text = tokenizer::load(o.model);
  eval::check_before(o, lm.config(), "");
  const eval::run_extras extras = eval::find_extras(o, lm);
  const eval::prepared sample =
      eval::synthetic_task(synth::task::needle, o, lm.config(), text).make(0);

  std::vector<std::string> names = {"expected_attention:keep_ratio+value_norm:fixed_k",
                                    "snapkv:keep_ratio+value_norm:fixed_k",
                                    "key_diff:keep_ratio+value_norm:fixed_k"};
  if (extras.predictor) {
    names.push_back("predictor:keep_ratio+value_norm:fixed_k");
    names.push_back("predictor:keep_ratio+predictor:global_top_m");
  }
  std::printf("%zu tokens, one thread, medians of %zu rounds; shares are of the plain prefill\n",
              sample.compressed(), static_cast<std::size_t>(rounds));
  std::printf("%-48s %9s %9s %9s %9s %9s %9s %10s\n", "method", "prefill", "observing", "score",
              "select", "pack", "the three", "memory");
  std::printf("%-48s %9s %9s %9s %9s %9s %9s %10s\n", "", "ms", "", "", "", "", "", "peak ratio");
  for (const std::string& name : names) {
    o.methods = {eval::parse_method(name, {}, {}, {}, "method")};
    std::vector<round_times> all;
    for (std::size_t i = 0; i < rounds; ++i) {
      all.push_back(measure(lm, sample, o, extras.shared(), o.methods[0]));
    }
    show(name, all);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const std::exception& problem) {
    std::cerr << "measure_overhead: " << problem.what() << '\n';
  }
  return 1;
}
