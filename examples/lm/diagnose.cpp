// diagnose --model DIR --methods ... --budgets ... [--predictor FILE] [--samples N] [--json FILE]
//   [--out DIR]: what methods keep, layer by layer and head by head, beside an oracle's choice.
// Takes the arguments of evaluate; docs/diagnostics.md says what the numbers mean.
#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "diagnose/report.hpp"
#include "engine/json.hpp"
#include "engine/run_program.hpp"
#include "engine/text_file.hpp"
#include "evaluate/program.hpp"
#include "evaluate/table.hpp"

namespace {

using namespace rota_lm;

void run(const eval::options& asked) {
  const model lm = model::load(asked.model);
  const eval::options o = eval::for_model(asked, lm.config().max_positions);
  const tokenizer text = tokenizer::load(o.model);
  eval::check_before(o, lm.config(), {"diagnose.json", "allocation.svg"});
  const eval::run_extras extras = eval::find_extras(o, lm);
  const std::vector<diagnose::diagnosis> all =
      diagnose::gatherer(o, lm, text, extras.shared()).run();
  eval::ordered_json document = eval::ordered_json::array();
  std::cout << eval::protocol_line(o) << "\n\n";
  for (const diagnose::diagnosis& d : all) {
    if (d.too_small > 0) {
      std::cout << d.row.title() << ": budget too small for " << d.too_small << " samples\n";
    }
    std::cout << diagnose::table_of(d) << '\n';
    document.push_back(diagnose::json_of(d));
  }
  std::cout << diagnose::decile_table(all) << std::flush;
  if (!std::cout) fail("the table", "cannot be written");
  if (!o.json.empty()) write_file(o.json, document.dump(1) + "\n");
  if (o.out.empty()) return;
  write_file(o.out + "/diagnose.json", document.dump(1) + "\n");
  write_file(o.out + "/allocation.svg", diagnose::decile_svg(all));
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("diagnose", [&] { run(eval::parse_options(argc, argv, "diagnose")); });
}
