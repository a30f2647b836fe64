#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include <rota/core/version.hpp>

#include "lines.hpp"
#include "probe.hpp"

// rota_bench [--all] [flags of Google Benchmark]: runs the usual lines, or with --all the whole
// grid. A filter looks at the whole grid.

namespace {

#define ROTA_TEXT_OF(x) #x
#define ROTA_TEXT(x) ROTA_TEXT_OF(x)

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string text; std::getline(info, text);)
    if (text.starts_with("model name")) return text.substr(text.find(':') + 2);
  return "unknown";
}

bool starts_with(const char* text, std::string_view start) {
  return std::string_view(text).starts_with(start);
}

/// Takes `flag` out of the arguments; whether it was there.
bool take_flag(int& argc, char** argv, const char* flag) {
  const auto found =
      std::find_if(argv + 1, argv + argc, [&](const char* a) { return std::strcmp(a, flag) == 0; });
  if (found == argv + argc) return false;
  std::copy(found + 1, argv + argc, found);
  --argc;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const bool filtered = std::any_of(
      argv + 1, argv + argc, [](const char* a) { return starts_with(a, "--benchmark_filter="); });
  const bool all = take_flag(argc, argv, "--all") || filtered;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("cpu", cpu_name());
  benchmark::AddCustomContext("isa", ROTA_TEXT(ROTA_CPU_ISA));
  benchmark::AddCustomContext("compiler", __VERSION__);
  benchmark::AddCustomContext("rota",
                              ROTA_TEXT(ROTA_VERSION_MAJOR) "." ROTA_TEXT(ROTA_VERSION_MINOR));
  for (const rota_bench::line& line : rota_bench::all_lines())
    if (all || line.usual)
      benchmark::RegisterBenchmark(line.name.c_str(), line.run)
          ->UseManualTime()
          ->Iterations(line.rounds)
          ->Unit(line.unit);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
