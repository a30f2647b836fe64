// needle_grid --model DIR [--lengths 256,512,1024] [--depths 0,0.25,0.5,0.75,1] [...]: the needle
// asked for at every depth of contexts of every length, drawn as the usual heat map. Takes the
// other arguments of evaluate but for tasks and context.
#include <iostream>

#include <nlohmann/json.hpp>

#include "engine/run_program.hpp"
#include "engine/text_file.hpp"
#include "evaluate/program.hpp"
#include "needle/grid.hpp"
#include "needle/report.hpp"

namespace {

using namespace rota_lm;

void run(const needle::setting& s) {
  const model lm = model::load(s.how.model);
  const tokenizer text = tokenizer::load(s.how.model);
  eval::check_before(s.how, lm.config(), {"needle_grid.json", "needle_grid.svg"});
  const eval::evaluation e = needle::evaluate(s, lm, text);
  std::cout << needle::tables(s, e) << std::flush;
  if (!std::cout) fail("the table", "cannot be written");
  const std::string json = needle::rows_json(s, e).dump(1) + "\n";
  if (!s.how.json.empty()) write_file(s.how.json, json);
  if (s.how.out.empty()) return;
  write_file(s.how.out + "/needle_grid.json", json);
  write_file(s.how.out + "/needle_grid.svg", needle::heat_maps(s, e));
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("needle_grid", [&] { run(needle::parse(argc, argv)); });
}
