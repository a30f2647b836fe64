#pragma once

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cases.hpp"

// The command lines of the benchmarks. No GPU is needed to read them: --list says what would be
// measured.

namespace bench {

struct options {
  std::string out;     ///< empty: no file
  bool quick = false;  ///< fewer replays and shapes
  bool list = false;   ///< name the cases and end
  bool once = false;   ///< each case once, checked and not timed: for profilers and sanitizers
  std::vector<decode_case> cases;  ///< of the decoding benchmark
};

/// "BATCH,CONTEXT" or "BATCH,CONTEXT,Q_HEADS"; throws what CLI11 reports.
inline batch_size size_of(const std::string& text) {
  index_t numbers[3] = {0, 0, 0};
  const char *at = text.data(), *const end = at + text.size();
  int count = 0;
  for (bool more = true; more; ++count) {
    const auto [stop, error] = std::from_chars(at, end, numbers[count]);
    more = error == std::errc{} && stop != end && *stop == ',' && count < 2;
    at = error != std::errc{} ? at : stop + (more ? 1 : 0);
  }
  const auto [batch, context, q_heads] = numbers;
  const bool complete = at == end && count >= 2;
  if (!complete || batch < 1 || batch > 1024 || context < page_tokens || context > 1 << 20 ||
      context % page_tokens != 0 || (count == 3 && q_heads != 32 && q_heads != 64))
    throw CLI::ValidationError(
        "--shape",
        "'" + text +
            "' is not BATCH,CONTEXT or BATCH,CONTEXT,Q_HEADS with a batch of 1 to 1024, "
            "a context that is a multiple of 16 up to 1048576, and 32 or 64 query heads");
  return {batch, context, q_heads};
}

/// The store of this name; throws what CLI11 reports.
inline store_kind store_named(const std::string& name) {
  std::string all;
  for (const store_kind& kind : store_kinds()) {
    if (kind.name == name) return kind;
    all += (all.empty() ? "" : ", ") + kind.name;
  }
  throw CLI::ValidationError("--store", "'" + name + "' is none of " + all);
}

/// Reads a command line without the program's name; throws CLI::ParseError.
class command_line {
 public:
  /// `decodes`: the program knows the options of the decoding benchmark.
  command_line(const std::string& about, bool decodes) : app_(about) {
    app_.add_option("--out", given_.out, "file of results, valid after each case")
        ->type_name("FILE.json");
    app_.add_flag("--quick", given_.quick, "fewer replays, and the first shape alone");
    app_.add_flag("--list", given_.list, "name the cases and end; needs no GPU");
    if (decodes) add_decoding();
  }
  options parse(std::vector<std::string> arguments) {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    app_.parse(arguments);
    std::vector<batch_size> sizes(std::begin(default_sizes), std::end(default_sizes));
    if (given_.quick) sizes.resize(1);
    if (!shapes_.empty()) sizes.clear();
    for (const std::string& text : shapes_) sizes.push_back(size_of(text));
    std::vector<store_kind> stores;
    for (const std::string& name : stores_) stores.push_back(store_named(name));
    given_.cases = decode_cases(sizes, stores.empty() ? store_kinds() : stores, queries_);
    return given_;
  }
  int exit(const CLI::ParseError& e) { return app_.exit(e) == 0 ? 0 : 1; }

 private:
  void add_decoding() {
    app_.add_option("--shape", shapes_, "only this shape; may be given again")
        ->type_name("BATCH,CONTEXT[,Q_HEADS]")
        ->allow_extra_args(false);
    app_.add_option("--store", stores_, "only this store; may be given again")
        ->type_name("NAME")
        ->allow_extra_args(false);
    app_.add_option("--queries", queries_, "only this many query tokens; may be given again")
        ->check(CLI::Range(1, 64))
        ->allow_extra_args(false);
    app_.add_flag("--once", given_.once,
                  "each case once, checked and not timed: for profilers and sanitizers");
  }

  CLI::App app_;
  options given_;
  std::vector<std::string> shapes_, stores_;
  std::vector<index_t> queries_{1, 4, 16};
};

/// Reads the command line; ends the program where it is not understood.
inline options options_of(int argc, char** argv, const std::string& about, bool decodes = false) {
  command_line line(about, decodes);
  try {
    return line.parse({argv + 1, argv + argc});
  } catch (const CLI::ParseError& e) {
    std::exit(line.exit(e));
  }
}

}  // namespace bench
