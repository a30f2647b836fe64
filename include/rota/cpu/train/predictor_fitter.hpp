#pragma once

#include <limits>

#include <rota/cpu/backend.hpp>
#include <rota/cpu/train/predictor_objective.hpp>
#include <rota/cpu/train/ridge.hpp>
#include <rota/train/adamw.hpp>

namespace rota::cpu {

/// How a predictor is fitted.
struct predictor_fit_options {
  train::adamw optimizer{.learning_rate = 2e-3};  ///< the rate falls to 0 over max_steps
  double ridge_penalty = 1e-3;
  index_t batch = 8;  ///< samples a step
  index_t max_steps = 2000;
  index_t check_every = 100;  ///< steps between looks at the held-out samples
  index_t patience = 5;       ///< looks without a better loss before it stops
  std::uint64_t seed = 1;
};

/// Everything that changes while fitting: written down, it resumes to the bit.
struct predictor_fit_state {
  std::vector<float> parameters, first_moment, second_moment;
  std::vector<float> best;  ///< parameters of the least held-out loss
  double best_loss = std::numeric_limits<double>::infinity();
  index_t step = 0;
  index_t looks_since_best = 0;
};

/// Fits a predictor: ridge regression on log targets for the linear term, then listwise
/// cross-entropy with AdamW for all of it, until the held-out loss no longer falls. Samples must
/// have passed train::check_sample() and outlive this. Results do not depend on the number of
/// threads. Allocates.
class predictor_fitter {
 public:
  using samples = std::span<const train::calibration_sample>;

  predictor_fitter(const train::predictor_shape& shape, const predictor_fit_options& options,
                   samples training, samples held_out, const backend& b)
      : shape_(shape),
        options_(options),
        training_(training),
        held_out_(held_out),
        backend_(b),
        scale_(root_mean_squares()),
        objective_(shape, scale_) {
    state_.parameters.resize(static_cast<std::size_t>(shape.parameters()));
    state_.first_moment.resize(state_.parameters.size());
    state_.second_moment.resize(state_.parameters.size());
  }

  const predictor_fit_state& state() const { return state_; }
  /// Goes on from where another fitter of the same samples and options stood.
  void resume(predictor_fit_state s) { state_ = std::move(s); }

  /// The start: the linear term by ridge regression on the log of the targets, the factors small
  /// and random, so that the second term begins as (nearly) a constant. Returns the held-out loss.
  double start() {
    fit_linear();
    if (shape_.rank > 0) draw_factors();
    return look();
  }

  /// One step of AdamW. Returns the mean loss of its batch before the step; not finite: the fit
  /// has failed and the step was not made.
  double step() {
    const auto count = static_cast<std::size_t>(options_.batch);
    std::vector<std::vector<float>> gradients(count);
    std::vector<double> losses(count);
    parallel_for(backend_, options_.batch, [&](index_t i, int) {
      std::vector<float>& g = gradients[static_cast<std::size_t>(i)];
      g.assign(state_.parameters.size(), 0);
      losses[static_cast<std::size_t>(i)] =
          objective_(state_.parameters, training_[drawn(state_.step, i)], g);
    });
    double loss = 0;
    for (std::size_t i = 0; i < count; ++i) {
      loss += losses[i] / static_cast<double>(count);
      for (std::size_t k = 0; i > 0 && k < gradients[0].size(); ++k)
        gradients[0][k] += gradients[i][k];
    }
    if (!std::isfinite(loss)) return loss;
    for (float& g : gradients[0]) g /= static_cast<float>(count);
    train::adamw o = options_.optimizer;
    o.learning_rate *=
        1 - static_cast<double>(state_.step) / static_cast<double>(options_.max_steps);
    ++state_.step;
    train::adamw_step<float>(o, state_.step, gradients[0], state_.first_moment,
                             state_.second_moment, state_.parameters);
    return loss;
  }

  bool time_to_look() const { return state_.step % options_.check_every == 0; }

  /// Mean loss of the held-out samples; keeps the parameters when it is the least so far.
  double look() {
    std::vector<double> losses(held_out_.size());
    parallel_for(backend_, static_cast<index_t>(losses.size()), [&](index_t i, int) {
      const auto at = static_cast<std::size_t>(i);
      losses[at] = objective_(state_.parameters, held_out_[at], {});
    });
    double loss = 0;
    for (const double l : losses) loss += l / static_cast<double>(losses.size());
    ++state_.looks_since_best;
    if (loss < state_.best_loss) {
      state_.best_loss = loss;
      state_.best = state_.parameters;
      state_.looks_since_best = 0;
    }
    return loss;
  }

  bool done() const {
    return state_.step >= options_.max_steps || state_.looks_since_best >= options_.patience;
  }

  /// The best parameters so far, for states as they are: the scale of the channels folded in.
  std::vector<float> result() const {
    std::vector<float> out = state_.best;
    for (index_t l = 0; l < shape_.layers; ++l) {
      const train::predictor_weights<float> w(shape_, l, out.data());
      for (const view<float, 2>& rows : {w.linear, w.token_factor, w.query_factor})
        for (index_t r = 0; r < rows.extent[0]; ++r)
          for (index_t i = 0; i < shape_.hidden; ++i)
            rows(r, i) /= scale_[static_cast<std::size_t>(i)];
    }
    return out;
  }

 private:
  /// Of each channel over the training samples' tokens; 1 where a channel is silent.
  std::vector<float> root_mean_squares() const {
    std::vector<double> squares(static_cast<std::size_t>(shape_.hidden));
    double rows = 0;
    for (const train::calibration_sample& s : training_) {
      for (std::size_t i = 0; i < s.hidden.size(); ++i) {
        const double x = static_cast<double>(static_cast<float>(s.hidden[i]));
        squares[i % squares.size()] += x * x;
      }
      rows += static_cast<double>(s.tokens);
    }
    std::vector<float> out;
    out.reserve(squares.size());
    for (const double s : squares)
      out.push_back(s > 0 ? static_cast<float>(std::sqrt(s / rows)) : 1.0f);
    return out;
  }

  /// Log targets have no bottom: what is below a millionth of a list's share counts as that.
  void fit_linear() {
    ridge_regression ridge(shape_.hidden, shape_.layers * shape_.outputs());
    for (const train::calibration_sample& s : training_) {
      double mass = 0;
      for (const bf16 t : s.target) mass += static_cast<double>(static_cast<float>(t));
      if (mass == 0) continue;
      Eigen::MatrixXd y(s.tokens, shape_.layers * shape_.outputs());
      for (index_t l = 0; l < shape_.layers; ++l)
        for (index_t j = 0; j < s.tokens; ++j)
          for (index_t o = 0; o < shape_.outputs(); ++o) {
            const bf16 t =
                s.target[static_cast<std::size_t>((l * s.tokens + j) * shape_.outputs() + o)];
            const double share = static_cast<double>(static_cast<float>(t)) / mass;
            y(j, l * shape_.outputs() + o) = std::log(share + 1e-6);
          }
      ridge.add(objective_.states(s.hidden, s.tokens), y);
    }
    const Eigen::MatrixXd solved = ridge.solve(options_.ridge_penalty);
    for (index_t l = 0; l < shape_.layers; ++l) {
      const train::predictor_weights<float> w(shape_, l, state_.parameters.data());
      for (index_t o = 0; o < shape_.outputs(); ++o) {
        for (index_t i = 0; i < shape_.hidden; ++i)
          w.linear(o, i) = static_cast<float>(solved(l * shape_.outputs() + o, i));
        w.bias(o) = static_cast<float>(solved(l * shape_.outputs() + o, shape_.hidden));
      }
    }
  }

  void draw_factors() {
    std::uint64_t state = options_.seed;
    const auto uniform = [&](double half_width) {  // splitmix64
      state += 0x9e3779b97f4a7c15u;
      std::uint64_t z = state;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      const double x = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
      return static_cast<float>((2 * x - 1) * half_width);
    };
    const double unit = std::sqrt(3.0 / static_cast<double>(shape_.hidden));
    for (index_t l = 0; l < shape_.layers; ++l) {
      const train::predictor_weights<float> w(shape_, l, state_.parameters.data());
      for (index_t k = 0; k < shape_.rank; ++k) {
        for (index_t i = 0; i < shape_.hidden; ++i) w.token_factor(k, i) = uniform(unit);
        for (index_t i = 0; i < shape_.hidden; ++i) w.query_factor(k, i) = uniform(unit);
        for (index_t h = 0; h < shape_.kv_heads; ++h) w.mix(h, k) = uniform(0.2);
      }
    }
  }

  /// Which sample is item i of a step's batch: a function of seed, step and i alone.
  std::size_t drawn(index_t step, index_t i) const {
    std::uint64_t z = options_.seed * 0x9e3779b97f4a7c15u +
                      static_cast<std::uint64_t>(step * options_.batch + i + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<std::size_t>((z ^ (z >> 31)) % training_.size());
  }

  train::predictor_shape shape_;
  predictor_fit_options options_;
  samples training_, held_out_;
  backend backend_;
  std::vector<float> scale_;
  predictor_objective<float> objective_;
  predictor_fit_state state_;
};

}  // namespace rota::cpu
