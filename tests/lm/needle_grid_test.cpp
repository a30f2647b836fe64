// The needle at every depth of every length.
#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "engine/json.hpp"
#include "evaluate/program.hpp"
#include "micro_folder.hpp"
#include "needle/report.hpp"

namespace {

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::long_micro;
using rota_lm_test::one_line_with;

needle::setting parse(const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"needle_grid", "--model", long_micro().c_str()};
  for (const std::string& w : words) argv.push_back(w.c_str());
  return needle::parse(static_cast<int>(argv.size()), argv.data());
}

}  // namespace

TEST_CASE("the needle stands as deep as it was asked for") {
  const needle::setting s = parse({"--lengths", "600", "--depths", "0,0.3,1"});
  const model lm = model::load(long_micro());
  const tokenizer text = tokenizer::load(long_micro());
  const eval::synthetic_samples source(s.how, lm.config(), text);
  for (const double depth : {0.0, 0.3, 0.7, 1.0}) {
    for (std::size_t i = 0; i < 5; ++i) {
      const eval::prepared sample = source.make(synth::task::needle, 600, i, depth);
      CAPTURE(depth);
      CHECK(sample.depth <= depth + 0.2);  // sentences are long here: letters are tokens
      CHECK(sample.depth >= depth - 0.25);
      // Another depth moves the needle and changes nothing of the question.
      const eval::prepared other = source.make(synth::task::needle, 600, i, 0.5);
      CHECK(sample.question == other.question);
      CHECK(sample.answers == other.answers);
    }
  }
}

TEST_CASE("every cell is a row of JSON, a number of the table and a square of the picture") {
  const needle::setting s = parse({"--lengths", "512,256", "--depths", "1,0", "--samples", "2",
                                   "--budgets", "0.6,0.01", "--methods", "dense,token_only"});
  CHECK(s.lengths == std::vector<std::size_t>{256, 512});
  CHECK(s.depths == std::vector<double>{0, 1});
  const eval::evaluation e =
      needle::evaluate(s, model::load(long_micro()), tokenizer::load(long_micro()));
  CHECK(e.rows.size() == 4);
  const auto rows = needle::rows_json(s, e);
  REQUIRE(rows.size() == 16);
  CHECK(rows[0]["length"] == 256);
  CHECK(rows[3]["depth"] == 1);
  CHECK(rows[4]["score"].is_number());
  CHECK(rows[15]["score"].is_null());
  CHECK(rows[15]["failure"].get<std::string>().starts_with("budget_too_small"));
  const std::string table = needle::tables(s, e);
  CHECK(table.find("token_only at 0.01: budget_too_small") != std::string::npos);
  const std::string picture = needle::heat_maps(s, e);
  CHECK(picture.find("token_only at 0.6") != std::string::npos);
  CHECK(picture.find("nan") == std::string::npos);
}

TEST_CASE("grids that cannot be are refused in one line") {
  const auto refused = [](const std::vector<std::string>& words, const char* why) {
    const std::string said = error_of([&] { parse(words); });
    CAPTURE(said);
    return one_line_with(said, why) && !said.empty();
  };
  CHECK(refused({"--lengths", "12"}, "--lengths"));
  CHECK(refused({"--lengths", "256,,512"}, "empty entry"));
  CHECK(refused({"--depths", "0.5,1.2"}, "[0, 1]"));
  CHECK(refused({"--depths"}, "--depths"));
  CHECK(refused({"--depths", "0,0.5,0.50"}, "twice"));
  CHECK(refused({"--tasks", "choice"}, "--tasks"));
  CHECK(refused({"--context", "512"}, "--context"));
  CHECK(refused({"--samples", "0"}, "--samples"));
}
