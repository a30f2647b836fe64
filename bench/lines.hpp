#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace rota_bench {

/// A named line of the benchmark. `usual`: part of `make bench`; the others are of the whole grid.
struct line {
  std::string name;
  bool usual = false;
  int rounds = 25;
  benchmark::TimeUnit unit = benchmark::kMillisecond;
  std::function<void(benchmark::State&)> run;
};

/// All lines, in the order in which files register them; main() runs what is asked for.
inline std::vector<line>& all_lines() {
  static std::vector<line> lines;
  return lines;
}

inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

}  // namespace rota_bench
