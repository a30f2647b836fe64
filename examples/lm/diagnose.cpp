// diagnose --model DIR --methods ... --budgets ... [--predictor FILE] [--samples N] [--json FILE]
//   [--out DIR]: what methods keep, layer by layer and head by head, beside an oracle's choice.
// Takes the arguments of evaluate; docs/diagnostics.md says what the numbers mean.
#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "diagnose/report.hpp"
#include "engine/run_program.hpp"
#include "engine/text_file.hpp"

namespace {

using namespace rota_lm;

void run(const eval::options& o) {
  const model lm = model::load(o.model);
  const tokenizer text = tokenizer::load(o.model);
  eval::check_before(o, lm.config(), "diagnose.json");
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
  return run_program("diagnose", std::string("the arguments of evaluate:\n").append(eval::usage),
                     argc, argv, [&] { run(eval::parse_options(argc, argv)); });
}
