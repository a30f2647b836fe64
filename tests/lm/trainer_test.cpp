// Training steps: against PyTorch's, for any number of threads, stopped and resumed, and refused.
#include "adapt/trainer.hpp"

#include <bit>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>
#include <sys/resource.h>

#include "adapt/start.hpp"
#include "adapt/state_file.hpp"
#include "engine/safetensors.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

namespace {

const std::string goldens = std::string(rota_own::source_dir()) + "/tests/goldens/";

std::vector<double> read_f64(const safetensors_file& file, const std::string& name) {
  const auto bytes = file.bytes(name);
  REQUIRE(file.info(name).dtype == "F64");
  std::vector<double> out(bytes.size() / 8);
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

/// What make_training_steps.py trains.
struct golden_run {
  model base = model::load(goldens + "micro/qwen2");
  safetensors_file file{goldens + "training/steps.safetensors"};
  std::vector<std::int64_t> ids = file.read_i64("ids");
  adapter_setting setting;
  training_options options;

  golden_run() {
    for (const auto& [t, name] : target_names) setting.targets.push_back(t);
    setting.lora = {0, 0, 8, 4, 2, rota::train::gate_kind::softmax, 8.0};
    setting.group_width = 4;
    setting.fill_rank = 3;
    setting.sinks = 1;
    setting.window = 2;
    options.steps = 20;
    options.batch = 2;
    options.seed = 7;
    options.rhos = {1, 0.5, 0.25};
    options.learning_rate = 0.01;
    options.lora_router_rate = 0.5;
    options.router_rate = 0.5;
    options.fill_rate = 0.25;
    options.warmup = 5;
    options.clip = 0.7;
    options.optimizer.weight_decay = 0.01;
    options.weights = {0.5, 2, 0.1};
  }
  sequence_source source() const {
    return [this](std::size_t number) {
      cut_ids cut;
      cut.prefix = 12;
      for (std::size_t i = 0; i < 18; ++i)
        cut.ids.push_back(static_cast<token_id>(ids.at(number * 18 + i)));
      return cut;
    };
  }
  template <class T>
  std::vector<T> first() const {
    std::vector<float> x(file.info("first").elements);
    file.read_f32("first", x);
    return {x.begin(), x.end()};
  }
  trainer<float> start(const parameter_layout& layout, int threads) const {
    training_options o = options;
    o.threads = threads;
    trainer<float> t(base, layout, {}, o, source());
    t.start(first<float>());
    return t;
  }
};

}  // namespace

TEST_CASE("20 training steps are PyTorch's, routers, thresholds and optimizer included") {
  const golden_run run;
  const parameter_layout layout(run.base.config(), run.setting);
  trainer<double> t(run.base, layout, {}, run.options, run.source());
  REQUIRE(layout.size() == run.first<double>().size());
  t.start(run.first<double>());
  // Cosines and sines are floats here and there, and differ in their last place.
  const std::vector<double> course = read_f64(run.file, "course");
  for (std::size_t step = 0; step < 20; ++step) {
    CAPTURE(step);
    const step_report r = t.step();
    CHECK(r.prefix == doctest::Approx(course[3 * step]).epsilon(1e-6));
    CHECK(r.continuation == doctest::Approx(course[3 * step + 1]).epsilon(1e-6));
    CHECK(r.balance == doctest::Approx(course[3 * step + 2]).epsilon(1e-6));
  }
  CHECK(t.done());
  const std::vector<double> last = read_f64(run.file, "last");
  double worst = 0;
  for (std::size_t i = 0; i < last.size(); ++i)
    worst = std::max(worst, std::abs(t.state().parameters[i] - last[i]));
  CHECK(worst < 2e-6);
  const std::vector<double> thresholds = read_f64(run.file, "thresholds");
  for (std::size_t i = 0; i < thresholds.size(); ++i)
    CHECK(t.state().thresholds[i] == doctest::Approx(thresholds[i]).epsilon(1e-6).scale(1));
}

TEST_CASE("training gives the same bits on any number of threads") {
  const golden_run run;
  const parameter_layout layout(run.base.config(), run.setting);
  trainer<float> one = run.start(layout, 1), three = run.start(layout, 3);
  for (int i = 0; i < 4; ++i) {
    static_cast<void>(one.step());
    static_cast<void>(three.step());
  }
  CHECK(one.state().parameters == three.state().parameters);
  CHECK(one.state().thresholds == three.state().thresholds);
}

TEST_CASE("training that was stopped goes on to the bit, from its file") {
  const golden_run run;
  const temp_folder folder;
  const std::string path = folder.path() + "/state.safetensors";
  const parameter_layout layout(run.base.config(), run.setting);
  trainer<float> whole = run.start(layout, 2), first = run.start(layout, 2);
  for (int i = 0; i < 6; ++i) static_cast<void>(whole.step());
  for (int i = 0; i < 3; ++i) static_cast<void>(first.step());
  save_training(first.state(), {{3, 1, 2, 3}}, "a run", path);
  const saved_training saved = load_training(path, "a run", {layout.size(), 3, 20});
  CHECK(saved.course.size() == 1);
  CHECK(saved.course[0].continuation == 2);
  trainer<float> second = run.start(layout, 1);
  second.resume(saved.state);
  for (int i = 0; i < 3; ++i) static_cast<void>(second.step());
  CHECK(second.state().parameters == whole.state().parameters);
  CHECK(second.state().second_moment == whole.state().second_moment);

  CHECK(one_line_with(error_of([&] {
                        load_training(path, "another", {layout.size(), 3, 20});
                      }),
                      "another run"));
  CHECK(one_line_with(error_of([&] {
                        load_training(path, "a run", {layout.size() + 1, 3, 20});
                      }),
                      "shape"));
}

TEST_CASE("a loss that is not finite stops training, names step and tensor, and changes nothing") {
  const golden_run run;
  const parameter_layout layout(run.base.config(), run.setting);
  trainer<float> t = run.start(layout, 1);
  static_cast<void>(t.step());
  training_state<float> spoiled = t.state();
  const auto tensor = layout.tensors()[6];
  spoiled.parameters[tensor.first] = std::numeric_limits<float>::quiet_NaN();
  t.resume(spoiled);
  const std::string said = error_of([&] { static_cast<void>(t.step()); });
  CAPTURE(said);
  CHECK(one_line_with(said, "step 2"));
  CHECK(one_line_with(said, "layers.0."));
  CHECK(t.state().step == 1);
  CHECK(t.state().first_moment == spoiled.first_moment);
}

TEST_CASE("a full disk while saving leaves the state that was there") {
  const golden_run run;
  const temp_folder folder;
  const std::string path = folder.path() + "/state.safetensors";
  const parameter_layout layout(run.base.config(), run.setting);
  trainer<float> t = run.start(layout, 1);
  save_training(t.state(), {}, "a run", path);
  static_cast<void>(t.step());
  // A limit on the size of files fails in the middle of the write, as a full disk does.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{std::filesystem::file_size(path) / 2, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  const std::string said = error_of([&] { save_training(t.state(), {}, "a run", path); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(one_line_with(said, "cannot be written"));
  CHECK(load_training(path, "a run", {layout.size(), 3, 20}).state.step == 0);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}
