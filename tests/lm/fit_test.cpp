// Predictors of relevance: fitted to a micro checkpoint, from its texts to its files.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "engine/model.hpp"
#include "engine/model_tag.hpp"
#include "engine/predictor_file.hpp"
#include "fit/options.hpp"
#include "fit/program.hpp"
#include "fit/state_file.hpp"
#include "fit/texts.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::read_text;
using rota_lm_test::temp_folder;

const std::string micro = std::string(ROTA_SOURCE_DIR) + "/tests/goldens/micro/qwen2";

fit_options parsed(std::vector<std::string> more) {
  std::vector<std::string> words = {"fit_predictor", "--model", micro, "--group-width", "8"};
  words.insert(words.end(), more.begin(), more.end());
  std::vector<const char*> pointers;
  for (const std::string& w : words) pointers.push_back(w.c_str());
  return parse_fit_options(static_cast<int>(pointers.size()), pointers.data());
}

std::string some_text() {
  std::string out;
  for (int i = 0; i < 200; ++i) out += "line " + std::to_string(i * 7919 % 1000) + " of a text. ";
  return out;
}

}  // namespace

TEST_CASE("fit_predictor fits a checkpoint from a text file, the same on any number of threads") {
  const temp_folder folder;
  const std::string text = folder.write("text", some_text());
  const auto fit = [&](const std::string& threads) {
    const std::string out = folder.path() + "/fitted" + threads;
    std::ostringstream shown;
    fit_predictor(parsed({"--out",       out,         "--text",     text,      "--context",
                          "96",          "--samples", "12",         "--steps", "120",
                          "--rank",      "4",         "--threads",  threads,   "--json",
                          out + ".json", "--svg",     out + ".svg", "--state", out + ".state"}),
                  shown);
    CHECK(shown.str().find("held out") != std::string::npos);
    return out;
  };
  const std::string first = fit("1"), second = fit("2");
  CHECK(read_text(first) == read_text(second));
  CHECK(read_text(first + ".json") == read_text(second + ".json"));
  const auto course = nlohmann::json::parse(read_text(first + ".json"));
  REQUIRE(course["looks"].size() == 3);
  CHECK(course["looks"][0]["training"].is_null());
  CHECK(course["looks"][1]["step"] == 100);
  CHECK(course["looks"][2]["step"] == 120);  // the last steps are looked at too
  CHECK(course["best_step"] == 120);
  CHECK(course["looks"][2]["held_out"] < course["looks"][0]["held_out"]);
  const std::string weights = read_text(first), losses = read_text(first + ".json");
  std::filesystem::remove(first);
  fit("1");  // its state is there: nothing is left to do but to write
  CHECK(read_text(first) == weights);
  CHECK(read_text(first + ".json") == losses);
  CHECK(read_text(first + ".svg").find("</svg>") != std::string::npos);
  const model lm = model::load(micro);
  CHECK(load_predictor(first, lm.config(), model_identity(lm)).shape.rank == 4);
}

TEST_CASE("texts for the unseen protocol are cut before any question, and ask for all there is") {
  const tokenizer text =
      tokenizer::load(std::string(ROTA_SOURCE_DIR) + "/examples/lm/checkpoints/rota-synth");
  const std::vector<synth::task> recall = {synth::task::needle, synth::task::vartrack,
                                           synth::task::choice};
  const text_lengths lengths{512, 300, 16};
  const generated_texts asked(recall, text, lengths, 1);
  const unasked_texts unasked(recall, text, lengths, 1);
  for (std::size_t i = 0; i < 12; ++i) {
    const cut_text one = asked.make(i), all = unasked.make(i);
    CHECK(all.cut <= 512);
    CHECK(all.ids.size() > all.cut + 20);
    CHECK(all.ids.size() <= all.cut + 300);
    CHECK(text.decode(std::span(all.ids).first(all.cut)).find('?') == std::string::npos);
    const std::string questions = text.decode(std::span(all.ids).subspan(all.cut));
    CHECK(std::count(questions.begin(), questions.end(), '?') > 1);
    CHECK(one.cut > 0);
    CHECK(unasked.make(i).ids == all.ids);  // the same number, the same text
  }
}

TEST_CASE("a task that is named twice is drawn twice as often") {
  const fit_options o = parsed({"--out", "x", "--tasks", "needle,choice,choice"});
  CHECK(o.tasks ==
        std::vector<synth::task>{synth::task::needle, synth::task::choice, synth::task::choice});
}

TEST_CASE("a calibration that cannot be is refused in one line") {
  const temp_folder folder;
  const std::string out = folder.path() + "/fitted";
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--out", out});
    std::ostringstream ignored;
    return error_of([&] { fit_predictor(parsed(more), ignored); });
  };
  const std::string brief = folder.write("brief", "few words"),
                    text = folder.write("t", some_text());
  CHECK(one_line_with(refused({"--text", brief}), "not longer than the window"));
  CHECK(one_line_with(refused({"--text", text, "--context", "100000"}), "--context"));
  CHECK(one_line_with(refused({"--text", text, "--split", "2"}), "--split"));
  CHECK(one_line_with(refused({"--tasks", "poetry"}), "poetry"));
  CHECK(one_line_with(refused({"--text", text, "--target", "rank"}), "rank"));
  CHECK(one_line_with(refused({"--text", text, "--tasks", "needle"}), "not both"));
  CHECK(one_line_with(refused({"--tasks", "text", "--context", "200", "--window", "195"}),
                      "not longer than"));
  CHECK(one_line_with(
      refused({"--tasks", "text", "--context", "130", "--window", "120", "--protocol", "unseen"}),
      "not longer than"));
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("a fit refuses before the work what could only fail after it, or has no effect") {
  const temp_folder folder;
  const std::string out = folder.path() + "/fitted", text = folder.write("t", some_text());
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--text", text});
    std::ostringstream ignored;
    return error_of([&] { fit_predictor(parsed(more), ignored); });
  };
  for (const char* name : {"--state", "--json", "--svg"})
    CHECK(one_line_with(refused({"--out", out, name, ""}), name));
  CHECK(one_line_with(refused({"--out", ""}), "--out"));
  CHECK(one_line_with(refused({"--out", folder.path()}), folder.path()));
  CHECK(one_line_with(refused({"--out", out, "--svg", folder.path() + "/no/svg"}), "/no/svg"));
  CHECK(one_line_with(refused({"--out", out, "--protocol", "unseen"}), "--protocol"));
  CHECK(one_line_with(refused({"--out", out, "--context", "510"}), "512 positions"));
  CHECK(one_line_with(refused({"--out", out, "--learning-rate", "0"}), "--learning-rate"));
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("the state of a fit comes back as it was, for the same run only") {
  const temp_folder folder;
  const std::string path = folder.path() + "/state";
  rota::cpu::predictor_fit_state s;
  s.parameters = {1, 2, 3};
  s.first_moment = {4, 5, 6};
  s.second_moment = {7, 8, 9};
  s.best = {10, 11, 12};
  s.best_loss = 0.1;
  s.step = 300;
  s.looks_since_best = 2;
  save_fit(s, {{0, std::nanf(""), 9}, {100, 8, 7.5f}}, "this run", path);
  const saved_fit saved = load_fit(path, "this run", 3, 300);
  const rota::cpu::predictor_fit_state& back = saved.state;
  CHECK(back.parameters == s.parameters);
  CHECK(back.first_moment == s.first_moment);
  CHECK(back.second_moment == s.second_moment);
  CHECK(back.best == s.best);
  CHECK(back.best_loss == s.best_loss);
  CHECK(back.step == 300);
  CHECK(back.looks_since_best == 2);
  REQUIRE(saved.course.size() == 2);
  CHECK(std::isnan(saved.course[0].training));
  CHECK(saved.course[1].step == 100);
  CHECK(saved.course[1].held_out == 7.5f);
  CHECK(one_line_with(error_of([&] { load_fit(path, "another", 3, 300); }), "another fit"));
  CHECK(one_line_with(error_of([&] { load_fit(path, "this run", 4, 300); }), "shape"));
  CHECK(one_line_with(error_of([&] { load_fit(micro + "/model.safetensors", "x", 3, 300); }),
                      "is not the state of a fit"));
}
