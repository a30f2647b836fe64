// Predictors of relevance as files: written, read, refused.
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <source_dir.hpp>
#include <sys/stat.h>

#include "made_up_predictor.hpp"
#include "micro_folder.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::made_up_predictor;
using rota_lm_test::one_line_with;
using rota_lm_test::read_text;
using rota_lm_test::temp_folder;

const std::string goldens = std::string(rota_own::source_dir()) + "/tests/goldens/micro/";
const std::string micro = goldens + "qwen2";

}  // namespace

TEST_CASE("a predictor comes back from its file as it was written") {
  const temp_folder folder;
  const model lm = model::load(micro);
  for (const rota::index_t rank : {0, 5}) {
    const fitted_predictor p = made_up_predictor(lm, rank);
    const std::string path = folder.path() + "/p.safetensors";
    save_predictor(p, path);
    const fitted_predictor back = load_predictor(path, lm.config(), model_identity(lm));
    CHECK(back.parameters == p.parameters);
    CHECK(back.split == 1);
    CHECK(back.window == 16);
    CHECK(back.group_width == 8);
    CHECK(back.conditioned() == (rank > 0));
    CHECK(back.notes.at("steps") == "7");
  }
}

TEST_CASE("a predictor's file is for whoever the umask lets read it") {
  const temp_folder folder;
  const std::string path = folder.path() + "/p";
  save_predictor(made_up_predictor(model::load(micro), 0), path);
  using std::filesystem::perms;
  const ::mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK(std::filesystem::status(path).permissions() == perms(0666 & ~mask));
}

TEST_CASE("a predictor's file is refused where it is not for the model, or not whole") {
  const temp_folder folder;
  const model lm = model::load(micro), other = model::load(goldens + "llama");
  const std::string path = folder.path() + "/p.safetensors", own = model_identity(lm);
  const auto load = [&](const std::string& from) {
    return error_of([&] { load_predictor(from, lm.config(), own); });
  };
  save_predictor(made_up_predictor(lm, 3), path);
  const std::string good = read_text(path);
  CHECK(
      one_line_with(error_of([&] { load_predictor(path, lm.config(), "0123"); }), "another model"));
  CHECK(
      one_line_with(error_of([&] { load_predictor(path, other.config(), model_identity(other)); }),
                    "another model"));
  CHECK(one_line_with(load(micro + "/model.safetensors"), "is not a predictor"));
  CHECK(one_line_with(load(folder.path() + "/none"), "cannot open"));

  for (std::size_t length = 0; length < good.size(); length += 97) {
    CHECK(load(folder.write("cut", std::string_view(good).substr(0, length))) != "");
  }
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const std::size_t at = bytes.find(from);
    REQUIRE(at != std::string::npos);
    bytes.replace(at, from.size(), to);
    return load(folder.write("changed", bytes));
  };
  CHECK(one_line_with(changed("\"rank\":\"3\"", "\"rank\":\"4\""), "weights"));
  CHECK(one_line_with(changed("\"rank\":\"3\"", "\"rank\":\"x\""), "rank"));
  CHECK(one_line_with(changed("\"split\":\"1\"", "\"split\":\"9\""), "split"));
  CHECK(one_line_with(changed("\"group_width\":\"8\"", "\"group_width\":\"4\""), "groups"));
  CHECK(one_line_with(changed("rota.predictor.1", "rota.predictor.7"), "format"));
  std::string not_a_number = good;
  for (std::size_t i = 4; i > 0; --i) not_a_number[not_a_number.size() - i] = '\xff';
  CHECK(one_line_with(load(folder.write("nan", not_a_number)), "finite"));
}
