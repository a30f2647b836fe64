#include "needle/grid.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "engine/command_line.hpp"
#include "evaluate/program.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::needle {

std::string depth_name(double depth) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", depth);
  return text;
}

std::string cell_name(std::size_t length, double depth) {
  return "needle " + std::to_string(length) + " at " + depth_name(depth);
}

setting parse(int argc, const char* const* argv) {
  setting s;
  s.lengths = {256, 512, 1024};
  s.depths = {0, 0.25, 0.5, 0.75, 1};
  command_line line("needle_grid", "A needle asked for at every depth of contexts of every length");
  eval::option_reader how(line, eval::option_reader::tasks::none);
  line.group("Grid");
  line.counts("lengths", s.lengths, 128, 1 << 20, "Tokens of the contexts");
  line.numbers("depths", s.depths, 0, 1, "Where the needle stands: 0 is the begin of the context");
  line.parse(argc, argv);
  std::sort(s.lengths.begin(), s.lengths.end());
  std::sort(s.depths.begin(), s.depths.end());
  s.how = how.read();
  s.how.tasks = {synth::task::needle};
  s.how.context = s.lengths.back();
  s.how.context_given = true;
  s.how.timing = false;
  return s;
}

eval::evaluation evaluate(const setting& s, const model& lm, const tokenizer& text) {
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
