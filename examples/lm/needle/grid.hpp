// The cells of the grid: a needle task for each length and depth.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "evaluate/program.hpp"

namespace rota_lm::needle {

struct setting {
  eval::options how;
  std::vector<std::size_t> lengths;  ///< tokens of the context, rising
  std::vector<double> depths;        ///< 0 is the begin of the context, rising
};

inline constexpr std::string_view usage =
    "needle_grid --model DIR [--lengths 256,512,1024] [--depths 0,0.25,0.5,0.75,1]\n"
    "  and the arguments of evaluate that say how: --methods, --budgets, --protocol, --samples,\n"
    "  --predictor, --rho, --fill, --sinks, --window, --seed, --threads, --json, --out\n";

inline std::string depth_name(double depth) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", depth);
  return text;
}

inline std::string cell_name(std::size_t length, double depth) {
  return "needle " + std::to_string(length) + " at " + depth_name(depth);
}

namespace detail {

inline std::vector<std::size_t> parse_lengths(const std::string& text) {
  std::vector<std::size_t> out;
  for (const std::string& word : eval::detail::split(text, "--lengths")) {
    const char* const pair[] = {"", "--lengths", word.c_str()};
    out.push_back(arguments(3, pair, {"lengths"}).count("lengths", 0, 128, 1 << 20));
  }
  std::sort(out.begin(), out.end());
  return out;
}

inline std::vector<double> parse_depths(const std::string& text) {
  std::vector<double> out;
  for (const std::string& word : eval::detail::split(text, "--depths")) {
    const char* const pair[] = {"", "--depths", word.c_str()};
    const double depth = arguments(3, pair, {"depths"}).number("depths", 0);
    if (depth < 0 || depth > 1) fail("--depths", printable(word, 40) + " is not in [0, 1]");
    out.push_back(depth);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace detail

/// The grid's own arguments; the others are evaluate's.
inline setting parse(int argc, const char* const* argv) {
  std::string lengths = "256,512,1024", depths = "0,0.25,0.5,0.75,1";
  std::vector<const char*> others(argv, argv + std::min(argc, 1));
  for (int i = 1; i < argc; i += 2) {
    const std::string_view word = argv[i];
    const bool own = word == "--lengths" || word == "--depths";
    if (word == "--tasks" || word == "--context" || word == "--text" || word == "--mmlu" ||
        word == "--ruler") {
      fail(word, "is not for a grid of needles");
    }
    if (own && i + 1 == argc) fail(word, "needs a value");
    if (own) {
      (word == "--lengths" ? lengths : depths) = argv[i + 1];
    } else {
      others.insert(others.end(), argv + i, argv + std::min(i + 2, argc));
    }
  }
  setting s;
  s.lengths = detail::parse_lengths(lengths);
  s.depths = detail::parse_depths(depths);
  s.how = eval::parse_options(static_cast<int>(others.size()), others.data());
  s.how.tasks = {synth::task::needle};
  s.how.context = s.lengths.back();
  s.how.timing = false;
  return s;
}

/// The rows of evaluate, with a task for each cell.
inline eval::evaluation evaluate(const setting& s, const model& lm, const tokenizer& text) {
  const eval::synthetic_samples source(s.how, lm.config(), text);
  std::vector<eval::task> cells;
  for (const std::size_t length : s.lengths) {
    for (const double depth : s.depths) {
      eval::task t;
      t.name = cell_name(length, depth);
      t.samples = s.how.samples;
      t.make = [source, length, depth](std::size_t number) {
        return source.make(synth::task::needle, length, number, depth);
      };
      cells.push_back(std::move(t));
    }
  }
  return eval::evaluate(s.how, lm, text, std::move(cells));
}

}  // namespace rota_lm::needle
