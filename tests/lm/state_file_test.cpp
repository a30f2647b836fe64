// States of training runs and fits, written down: what no run can have come to is refused by name.
#include "adapt/state_file.hpp"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/safetensors_writer.hpp"
#include "fit/state_file.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

struct training {
  training_state<float> state{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {0.5f, 0.25f}, 20};
  training_course course = {{10, 1, 2, 3}, {20, 4, 5, 6}};
};

std::string refused(const std::function<void(training&)>& change) {
  const temp_folder folder;
  training t;
  change(t);
  const std::string path = folder.path() + "/state";
  save_training(t.state, t.course, "a run", path);
  return error_of([&] { load_training(path, "a run", {3, 2, 20}); });
}

struct fit {
  rota::cpu::predictor_fit_state state;
  fit_course course = {{0, not_a_number, 9}, {10, 8, 7}};
  fit() {
    state.parameters = state.first_moment = state.second_moment = state.best = {1, 2, 3};
    state.best_loss = 7;
    state.step = 10;
  }
};

std::string fit_refused(const std::function<void(fit&)>& change) {
  const temp_folder folder;
  fit f;
  change(f);
  const std::string path = folder.path() + "/state";
  save_fit(f.state, f.course, "a run", path);
  return error_of([&] { load_fit(path, "a run", 3, 10); });
}

}  // namespace

TEST_CASE("a training state with numbers that are none is refused by its field") {
  CHECK(refused([](training&) {}) == "");
  for (const float bad : {not_a_number, infinity, -infinity}) {
    CHECK(one_line_with(refused([=](training& t) { t.state.parameters[1] = bad; }),
                        "\"parameters\""));
    CHECK(one_line_with(refused([=](training& t) { t.state.first_moment[0] = bad; }),
                        "\"first_moment\""));
    CHECK(one_line_with(refused([=](training& t) { t.state.second_moment[2] = bad; }),
                        "\"second_moment\""));
    CHECK(one_line_with(refused([=](training& t) { t.state.thresholds[0] = bad; }),
                        "\"thresholds\""));
    CHECK(
        one_line_with(refused([=](training& t) { t.course[1].continuation = bad; }), "\"course\""));
    CHECK(one_line_with(refused([=](training& t) { t.course[0].balance = bad; }), "\"course\""));
  }
  CHECK(one_line_with(refused([](training& t) { t.state.second_moment[0] = -1; }), "negative"));
}

TEST_CASE("a training state beyond the end of its run, or whose course is none, is refused") {
  CHECK(one_line_with(refused([](training& t) { t.state.step = 21; }), "\"step\" is \"21\""));
  CHECK(one_line_with(refused([](training& t) { t.state.step = SIZE_MAX; }), "\"step\""));
  CHECK(one_line_with(refused([](training& t) { t.state.step = 19; }), "\"course\""));
  CHECK(one_line_with(refused([](training& t) { t.course[1].step = 10; }), "\"course\""));
  CHECK(one_line_with(refused([](training& t) { t.course[0].step = 1 << 30; }), "\"course\""));
  // A course as no program writes it.
  const temp_folder folder;
  const std::string path = folder.path() + "/state";
  for (const float step : {not_a_number, infinity, -1.0f, 0.5f, 1e30f}) {
    const training t;
    const std::vector<float> row = {step, 1, 2, 3};
    safetensors_writer out;
    out.describe("format", "rota.training.1");
    out.describe("run", "a run");
    out.describe("step", "20");
    out.add("parameters", {3}, t.state.parameters);
    out.add("first_moment", {3}, t.state.first_moment);
    out.add("second_moment", {3}, t.state.second_moment);
    out.add("thresholds", {2}, t.state.thresholds);
    out.add("course", {1, 4}, row);
    out.write(path);
    CHECK(one_line_with(error_of([&] { load_training(path, "a run", {3, 2, 20}); }), "\"course\""));
  }
}

TEST_CASE("a file that is no state, or another's, is said to be what it is not") {
  const temp_folder folder;
  const std::string path = folder.path() + "/state";
  const training t;
  const auto training_said = [&] {
    return error_of([&] { load_training(path, "a run", {3, 2, 20}); });
  };
  const auto fit_said = [&] { return error_of([&] { load_fit(path, "a run", 3, 10); }); };
  save_training(t.state, t.course, "run two", path);
  CHECK(one_line_with(training_said(), "is the state of another run: run two"));
  CHECK(one_line_with(fit_said(), "is not the state of a fit"));
  safetensors_writer nothing;
  nothing.add("parameters", {3}, t.state.parameters);
  nothing.write(path);
  CHECK(one_line_with(training_said(), "is not the state of a run"));
  CHECK(one_line_with(fit_said(), "is not the state of a fit"));
}

TEST_CASE("the state of a fit is held to the same") {
  CHECK(fit_refused([](fit&) {}) == "");
  for (const float bad : {not_a_number, infinity}) {
    CHECK(
        one_line_with(fit_refused([=](fit& f) { f.state.parameters[1] = bad; }), "\"parameters\""));
    CHECK(one_line_with(fit_refused([=](fit& f) { f.state.best[1] = bad; }), "\"best\""));
    CHECK(one_line_with(fit_refused([=](fit& f) { f.state.second_moment[1] = bad; }),
                        "\"second_moment\""));
    CHECK(one_line_with(fit_refused([=](fit& f) { f.course[1].training = bad; }), "\"course\""));
    CHECK(one_line_with(fit_refused([=](fit& f) { f.course[0].held_out = bad; }), "\"course\""));
    CHECK(
        one_line_with(fit_refused([=](fit& f) { f.state.best_loss = bad; }), "\"best_loss_bits\""));
  }
  CHECK(one_line_with(fit_refused([](fit& f) { f.state.step = 11; }), "\"step\""));
  CHECK(one_line_with(fit_refused([](fit& f) { f.state.step = 9; }), "\"course\""));
  CHECK(one_line_with(fit_refused([](fit& f) { f.course.clear(); }), "\"course\""));
  CHECK(one_line_with(fit_refused([](fit& f) { f.state.looks_since_best = 99; }), "looks_since"));
}
