#include "adapt/trainable.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include <rota/train/cross_entropy.hpp>

#include "engine/dense_cache.hpp"
#include "engine/plain_cache.hpp"
#include "support/finite_differences.hpp"

using namespace rota_lm;
using rota_test::random_source;

namespace {

model micro(const std::string& name) {
  return model::load(std::string(rota_own::source_dir()) + "/tests/goldens/micro/" + name);
}

adapter_setting small_setting(const model_config& c) {
  adapter_setting s;
  for (const auto& [t, name] : target_names) s.targets.push_back(t);
  s.lora = {0, 0, 4, 2, 1, rota::train::gate_kind::sigmoid, 4.0};
  s.group_width = c.head_dim / 2;
  s.fill_rank = 2;
  s.sinks = 1;
  s.window = 2;
  return s;
}

std::vector<token_id> some_ids(random_source& rng, const model_config& c, std::size_t n) {
  std::vector<token_id> ids;
  for (std::size_t i = 0; i < n; ++i)
    ids.push_back(static_cast<token_id>(rng.below(static_cast<std::int64_t>(c.vocab_size))));
  return ids;
}

constexpr auto nobody = [](std::size_t, const auto&) {};

double total(const sequence_loss& l, const loss_weights& w) {
  return w.prefix * l.prefix + w.continuation * l.continuation +
         w.balance * l.balance * static_cast<double>(l.prefix_tokens + l.continuation_tokens);
}

}  // namespace

TEST_CASE("without adapters and with nothing dropped, the training pass is the engine's model") {
  for (const char* name : {"qwen2", "qwen3", "mistral", "llama"}) {
    CAPTURE(name);
    const model base = micro(name);
    random_source rng(1);
    const std::vector<token_id> ids = some_ids(rng, base.config(), 24);
    adapter_setting s = small_setting(base.config());
    s.lora.rank = 0;
    s.groups = group_rule::all;
    const parameter_layout layout(base.config(), s);
    CHECK(layout.size() == 0);
    const trainable_model<float> trained(base, layout, {});
    const sequence_loss loss = trained.run({}, {ids, 9, {}}, {}, 1, {}, nobody);
    CHECK(loss.prefix_tokens == 8);
    CHECK(loss.continuation_tokens == 15);

    plain_cache cache(base.config());
    const matrix logits = base.forward(ids, cache, model::all_tokens);
    double prefix = 0, continuation = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto row = std::span<const float>(logits.row(static_cast<Eigen::Index>(i)).data(),
                                              static_cast<std::size_t>(logits.cols()));
      const double l =
          rota::train::cross_entropy<float>(row, static_cast<std::size_t>(ids[i + 1]), 1, {});
      (i < 8 ? prefix : continuation) += l;
    }
    CHECK(loss.prefix == doctest::Approx(prefix).epsilon(1e-5));
    CHECK(loss.continuation == doctest::Approx(continuation).epsilon(1e-5));
  }
}

TEST_CASE(
    "the gradient of the whole model agrees with finite differences, for every architecture") {
  for (const char* name : {"qwen2", "qwen3", "mistral", "llama"}) {
    for (const rota::cpu::fill_kind fill :
         {rota::cpu::fill_kind::mean, rota::cpu::fill_kind::low_rank}) {
      CAPTURE(name);
      const model base = micro(name);
      adapter_setting s = small_setting(base.config());
      s.groups = group_rule::value_norm;  // a learned choice is straight-through: see the goldens
      s.fill = fill;
      const parameter_layout layout(base.config(), s);
      const trainable_model<double> trained(base, layout, {});
      random_source rng(2);
      std::vector<double> p = rota_test::random_numbers(rng, layout.size(), 0.1);
      const std::vector<token_id> ids = some_ids(rng, base.config(), 14);
      const training_sequence<double> sequence{ids, 9, {0.5, 0}};
      const loss_weights weights{0.5, 2, 0.1};
      std::vector<double> gradient(p.size());
      static_cast<void>(trained.run(p, sequence, weights, 1, gradient, nobody));
      int flips = 0;  // steps over a place where a choice changes: the loss jumps there
      for (int probe = 0; probe < 60; ++probe) {
        const auto& tensor = layout.tensors()[static_cast<std::size_t>(
            rng.below(static_cast<std::int64_t>(layout.tensors().size())))];
        CAPTURE(tensor.name);
        const std::size_t i =
            tensor.first +
            static_cast<std::size_t>(rng.below(static_cast<std::int64_t>(tensor.size())));
        const double kept = p[i], step = 1e-5;
        const auto at = [&](double x) {
          p[i] = x;
          return total(trained.run(p, sequence, weights, 1, {}, nobody), weights);
        };
        const double above = at(kept + step), here = at(kept), below = at(kept - step);
        p[i] = kept;
        if (std::abs(above - 2 * here + below) > 1e-3 * step) {
          ++flips;
          continue;
        }
        CHECK(gradient[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-5).scale(1));
      }
      CHECK(flips <= 2);
    }
  }
}

TEST_CASE("a router learns: its parameters get a gradient in every form of it") {
  const model base = micro("qwen2");
  for (const router_form form :
       {router_form::per_head, router_form::shared, router_form::hierarchical}) {
    adapter_setting s = small_setting(base.config());
    s.router = form;
    const parameter_layout layout(base.config(), s);
    const trainable_model<double> trained(base, layout, {});
    random_source rng(3);
    const std::vector<double> p = rota_test::random_numbers(rng, layout.size(), 0.1);
    const std::vector<token_id> ids = some_ids(rng, base.config(), 14);
    std::vector<double> gradient(p.size());
    std::size_t layers = 0;
    static_cast<void>(
        trained.run(p, {ids, 9, {0.5, 0.0}}, {}, 1, gradient, [&](std::size_t, const auto& layer) {
          CHECK(layer.router_logits.rows() == 9);
          CHECK(layer.router_logits.cols() ==
                layer.v.cols() / static_cast<Eigen::Index>(s.group_width));
          ++layers;
        }));
    CHECK(layers == base.config().layers);
    for (const auto& tensor : layout.tensors()) {
      CAPTURE(tensor.name);
      const bool moves =
          std::any_of(gradient.begin() + static_cast<std::ptrdiff_t>(tensor.first),
                      gradient.begin() + static_cast<std::ptrdiff_t>(tensor.first + tensor.size()),
                      [](double g) { return g != 0; });
      CHECK(moves);
    }
  }
}
