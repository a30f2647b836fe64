#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/thread_pool.hpp>
#include <rota/cpu/train/predictor_fitter.hpp>

#include "support/random.hpp"

using namespace rota;
using namespace rota_test;

namespace {

/// A sample whose memory it owns. A token of `marked` is what the first query token asks for.
struct owned_sample {
  std::vector<bf16> hidden, query, target;
  train::calibration_sample view;

  owned_sample(random_source& rng, const train::predictor_shape& s, index_t tokens, index_t queries,
               double skew) {
    view.tokens = tokens;
    view.queries = queries;
    fill(rng, hidden, tokens * s.hidden);
    fill(rng, query, queries * s.hidden);
    for (index_t i = 0; i < s.layers * tokens * s.outputs(); ++i)
      target.push_back(bf16(static_cast<float>(std::exp(skew * rng.normal()))));
    view.hidden = hidden;
    view.query = query;
    view.target = target;
  }
  owned_sample(owned_sample&&) = default;

  static void fill(random_source& rng, std::vector<bf16>& x, index_t n) {
    for (index_t i = 0; i < n; ++i) x.push_back(bf16(rng.normal()));
  }
};

/// Samples in which a token matters when its state is like that of a query token: what a
/// query-blind predictor cannot know.
std::vector<owned_sample> asked_samples(random_source& rng, const train::predictor_shape& s,
                                        int count) {
  std::vector<owned_sample> out;
  for (int i = 0; i < count; ++i) {
    owned_sample& o = out.emplace_back(rng, s, 40, 3, 0.0);
    const index_t wanted = rng.below(40);
    for (index_t c = 0; c < s.hidden; ++c)
      o.query[static_cast<std::size_t>(c)] =
          o.hidden[static_cast<std::size_t>(wanted * s.hidden + c)];
    for (index_t l = 0; l < s.layers; ++l)
      for (index_t g = 0; g < s.outputs(); ++g)
        o.target[static_cast<std::size_t>((l * 40 + wanted) * s.outputs() + g)] = bf16(100.0f);
  }
  return out;
}

std::vector<train::calibration_sample> views(const std::vector<owned_sample>& from) {
  std::vector<train::calibration_sample> out;
  for (const owned_sample& s : from) out.push_back(s.view);
  return out;
}

}  // namespace

TEST_CASE("every gradient of the predictor agrees with finite differences") {
  for (const index_t rank : {0, 1, 3}) {
    random_source rng(40 + static_cast<std::uint64_t>(rank));
    const train::predictor_shape shape{2, 2, 3, 7, rank};
    const owned_sample sample(rng, shape, 9, 4, 1.0);
    std::vector<float> scale;
    for (index_t i = 0; i < shape.hidden; ++i) scale.push_back(0.5f + std::fabs(rng.normal()));
    const cpu::predictor_objective<double> objective(shape, scale);
    std::vector<double> w(static_cast<std::size_t>(shape.parameters()));
    for (double& x : w) x = 0.5 * static_cast<double>(rng.normal());
    std::vector<double> gradient(w.size());
    objective(w, sample.view, gradient);
    for (std::size_t i = 0; i < w.size(); ++i) {
      CAPTURE(i);
      const double step = 1e-5, kept = w[i];
      w[i] = kept + step;
      const double above = objective(w, sample.view, {});
      w[i] = kept - step;
      const double below = objective(w, sample.view, {});
      w[i] = kept;
      CHECK(gradient[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-5).scale(1));
    }
  }
}

TEST_CASE("a fit finds what the query asks for, and only the conditioned form can") {
  random_source rng(7);
  train::predictor_shape shape{1, 1, 2, 12, 6};
  const auto training = asked_samples(rng, shape, 300), held_out = asked_samples(rng, shape, 40);
  const auto train_views = views(training), held_views = views(held_out);
  cpu::predictor_fit_options options;
  options.max_steps = 1500;
  options.optimizer.learning_rate = 1e-2;
  const auto best_loss = [&](index_t rank) {
    shape.rank = rank;
    cpu::predictor_fitter fitter(shape, options, train_views, held_views, {});
    fitter.start();
    while (!fitter.done()) {
      fitter.step();
      if (fitter.time_to_look()) fitter.look();
    }
    return fitter.state().best_loss;
  };
  const double blind = best_loss(0), conditioned = best_loss(8);
  // Blind, the best answer is that all 80 items are alike, but for what it reads into noise.
  CHECK(blind > std::log(80.0) - 0.3);
  CHECK(conditioned < blind - 0.7);
}

TEST_CASE("a resumed fit ends where an uninterrupted one does, on any number of threads") {
  random_source rng(8);
  const train::predictor_shape shape{2, 1, 2, 10, 4};
  const auto training = asked_samples(rng, shape, 12), held_out = asked_samples(rng, shape, 3);
  const auto train_views = views(training), held_views = views(held_out);
  cpu::predictor_fit_options options;
  options.max_steps = 12;
  options.check_every = 4;
  const auto run = [](cpu::predictor_fitter& f, index_t steps) {
    for (index_t i = 0; i < steps; ++i) {
      f.step();
      if (f.time_to_look()) f.look();
    }
  };
  cpu::predictor_fitter whole(shape, options, train_views, held_views, {});
  whole.start();
  run(whole, 12);

  cpu::thread_pool pool(3);
  cpu::predictor_fitter first(shape, options, train_views, held_views, pool.get_backend());
  first.start();
  run(first, 5);
  cpu::predictor_fitter second(shape, options, train_views, held_views, {});
  second.resume(first.state());
  run(second, 7);
  CHECK(whole.result() == second.result());
  CHECK(whole.state().parameters == second.state().parameters);
  CHECK(whole.state().best_loss == second.state().best_loss);
}

TEST_CASE("the scale of the channels is folded into the result") {
  random_source rng(11);
  const train::predictor_shape shape{1, 2, 2, 6, 2};
  std::vector<owned_sample> samples = asked_samples(rng, shape, 6);
  for (owned_sample& s : samples)
    for (std::size_t i = 0; i < s.hidden.size(); i += 6)
      s.hidden[i] = bf16(50 * static_cast<float>(s.hidden[i]));
  const auto all = views(samples);
  cpu::predictor_fit_options options;
  options.max_steps = 3;
  cpu::predictor_fitter fitter(shape, options, all, all, {});
  fitter.start();
  fitter.step();
  fitter.look();
  const std::vector<float> ones(6, 1.0f);
  const cpu::predictor_objective<float> unscaled(shape, ones);
  double loss = 0;
  for (const auto& s : all) loss += unscaled(fitter.result(), s, {}) / 6;
  CHECK(loss == doctest::Approx(fitter.state().best_loss).epsilon(1e-4));
}

TEST_CASE("samples that are not finite or of another shape are refused by name") {
  random_source rng(12);
  const train::predictor_shape shape{1, 1, 2, 4, 2};
  const auto refused = [&](auto&& spoil, const char* argument, errc code) {
    owned_sample s(rng, shape, 5, 2, 1.0);
    spoil(s);
    const status got = train::check_sample(shape, s.view);
    CHECK(got == code);
    CHECK(std::string(got.argument) == argument);
  };
  owned_sample good(rng, shape, 5, 2, 1.0);
  CHECK(train::check_sample(shape, good.view).ok());
  const bf16 nan(std::nanf("")), infinity(INFINITY), negative(-1.0f);
  refused([&](owned_sample& s) { s.hidden[3] = nan; }, "hidden", errc::bad_parameter);
  refused([&](owned_sample& s) { s.query[3] = infinity; }, "query", errc::bad_parameter);
  refused([&](owned_sample& s) { s.target[3] = negative; }, "target", errc::bad_parameter);
  refused([&](owned_sample& s) { s.view.tokens = 0; }, "hidden", errc::bad_shape);
  refused([&](owned_sample& s) { s.view.queries = 3; }, "query", errc::bad_shape);
  refused([&](owned_sample& s) { s.view.target = s.view.target.first(4); }, "target",
          errc::bad_shape);
}

TEST_CASE("ridge regression finds the line through its data, and a penalty flattens it") {
  Eigen::MatrixXd x(5, 1), y(5, 1);
  x << 0, 1, 2, 3, 4;
  y = (3 * x).array() + 2;
  cpu::ridge_regression ridge(1, 1);
  ridge.add(x.topRows(2), y.topRows(2));
  ridge.add(x.bottomRows(3), y.bottomRows(3));
  const Eigen::MatrixXd exact = ridge.solve(1e-12);
  CHECK(exact(0, 0) == doctest::Approx(3));
  CHECK(exact(0, 1) == doctest::Approx(2));
  // Centred: sum x'x' = 10, sum x'y' = 30; slope = 30 / (10 + penalty * rows).
  CHECK(ridge.solve(2.0)(0, 0) == doctest::Approx(1.5));
  CHECK(ridge.solve(2.0)(0, 1) == doctest::Approx(8 - 1.5 * 2));
}
