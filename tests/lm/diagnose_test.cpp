// diagnose: its measures by hand, and the whole on a micro checkpoint.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "diagnose/report.hpp"
#include "engine/json.hpp"
#include "evaluate/program.hpp"
#include "evaluate/task_list.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm;
using namespace rota_lm::diagnose;

head_view view_of(std::vector<rota::group_mask> masks, std::vector<bool> survives) {
  return {std::move(masks), std::move(survives)};
}

}  // namespace

TEST_CASE("ranks share ties, and Spearman's correlation is that of the ranks") {
  const std::vector<double> x = {3, 1, 3, 2};
  CHECK(ranks_of(x) == std::vector<double>{2.5, 0, 2.5, 1});
  const std::vector<double> up = {1, 2, 3, 40}, down = {9, 8, 7, 1}, flat = {5, 5, 5, 5};
  CHECK(spearman(up, up) == doctest::Approx(1));
  CHECK(spearman(up, down) == doctest::Approx(-1));
  CHECK(spearman(up, flat) == 0);
  // d = (0, 1, -1, 0): 1 - 6 * 2 / (4 * 15)
  const std::vector<double> swapped = {1, 3, 2, 40};
  CHECK(spearman(up, swapped) == doctest::Approx(0.8));
}

TEST_CASE("deciles average what the least and the most relevant tokens keep") {
  std::vector<double> by, value;
  for (int i = 0; i < 20; ++i) {
    by.push_back(19 - i);  // the first token is the most relevant
    value.push_back(i < 2 ? 4 : 1);
  }
  const auto means = decile_means(by, value);
  CHECK(means[9] == 4);
  CHECK(means[0] == 1);
  CHECK(means[8] == 1);
}

TEST_CASE("a sample's histogram, overlap and recalled relevance, counted by hand") {
  // Five tokens of two groups; the first is a sink and takes no part.
  const head_view kept = view_of({3, 3, 1, 0, 0}, {true, true, true, true, false});
  const head_view chosen = view_of({3, 3, 0, 2, 0}, {true, true, false, true, false});
  const std::vector<float> relevance = {9, 9, 4, 2, 1, 1, 0, 1, 1, 0};
  head_sums sums;
  add_sample(sums, kept, chosen, relevance, 2, {1, 0});
  CHECK(sums.histogram == std::vector<double>{1, 1, 1, 1});  // evicted, K = 0, 1, 2
  CHECK(sums.tokens() == 4);
  CHECK(sums.survivors() == 3);
  CHECK(sums.mean_groups() == doctest::Approx(1));
  CHECK(sums.pairs == 3);
  CHECK(sums.oracle_pairs == 3);
  CHECK(sums.shared_pairs == 2);
  CHECK(sums.token_mass == doctest::Approx(9.0 / 10));  // of 6 + 2 + 1 + 1
  CHECK(sums.pair_mass == doctest::Approx(7.0 / 10));
}

TEST_CASE(
    "diagnose on a micro checkpoint: the oracle overlaps with itself, shares stay in their "
    "bounds") {
  const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";
  const rota_lm_test::temp_folder folder;
  for (const char* name : {"/config.json", "/tokenizer.json", "/model.safetensors"}) {
    std::filesystem::copy_file(micro + name, folder.path() + name);
  }
  std::ostringstream config;
  config << std::ifstream(micro + "/config.json").rdbuf();
  auto fields = json::parse(config.str());
  fields["max_position_embeddings"] = 4096;
  folder.write("config.json", fields.dump());
  const std::string path = folder.path();
  for (const char* when : {"seen", "unseen"}) {
    const char* words[] = {
        "diagnose",  "--model",   path.c_str(),
        "--context", "256",       "--samples",
        "2",         "--tasks",   "needle",
        "--budgets", "0.5,1",     "--protocol",
        when,        "--methods", "oracle:keep_ratio+oracle:keep_ratio,key_norm:keep_ratio@1"};
    const eval::options o = eval::parse_options(static_cast<int>(std::size(words)), words);
    const model lm = model::load(path);
    const auto all = gatherer(o, lm, tokenizer::load(path), {}).run();
    REQUIRE(all.size() == 4);
    for (const diagnosis& d : all) {
      CAPTURE(d.row.title());
      REQUIRE(d.too_small == 0);
      for (const head_sums& s : d.sums) {
        const head_numbers x(s);
        CHECK(s.samples == 2);
        if (d.row.how.uses_oracle()) CHECK(x.overlap == 1);
        if (!d.row.how.groups && d.row.kv_budget == 1) {
          // The index does not fit beside every token, but nearly all of them do.
          CHECK(x.tokens_kept > 0.9);
          CHECK(x.mean_groups == static_cast<double>(d.groups));
          CHECK(x.token_mass == doctest::Approx(x.pair_mass));
        }
        CHECK(x.token_mass <= 1.0001);
        CHECK(x.pair_mass <= x.token_mass + 1e-9);
        CHECK(x.output_error >= 0);
      }
      CHECK(table_of(d).find("output_error") != std::string::npos);
      CHECK(json_of(d)["heads"].size() == d.sums.size());
    }
    CHECK(decile_svg(all).find("</svg>") != std::string::npos);
  }
}
