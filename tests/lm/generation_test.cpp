// Sampling, the generation loop, and what observers are shown.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "engine/collectors.hpp"
#include "engine/generate.hpp"
#include "engine/model.hpp"
#include "engine/plain_cache.hpp"
#include "engine/safetensors.hpp"
#include "engine/sampler.hpp"
#include "moment_oracle.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::matrix;
using rota_lm::model;
using rota_lm::plain_cache;
using rota_lm::sampler;
using rota_lm::token_id;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;

std::string micro(const std::string& name) {
  return std::string(rota_own::source_dir()) + "/tests/goldens/micro/" + name;
}

std::vector<token_id> golden_ids(const std::string& name, const std::string& tensor) {
  const rota_lm::safetensors_file file(micro(name) + "/golden.safetensors");
  std::vector<token_id> ids;
  for (const std::int64_t id : file.read_i64(tensor)) ids.push_back(static_cast<token_id>(id));
  return ids;
}

}  // namespace

TEST_CASE("greedy generation equals transformers'") {
  for (const std::string name : {"qwen2", "qwen3", "mistral", "llama"}) {
    CAPTURE(name);
    const model lm = model::load(micro(name));
    const std::vector<token_id> expected = golden_ids(name, "generated");
    plain_cache cache(lm.config());
    matrix logits = lm.forward(golden_ids(name, "input_ids"), cache);
    std::vector<token_id> made;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      made.push_back(rota_lm::greedy(rota_lm::values(std::as_const(logits))));
      logits = lm.forward(std::span(&made.back(), 1), cache);
    }
    CHECK(made == expected);
  }
}

TEST_CASE("generate stops at an end token and at the count") {
  const model lm = model::load(micro("qwen2"));
  rota_lm::model_config ending = lm.config();
  const std::vector<token_id> prompt = golden_ids("qwen2", "input_ids");
  const auto run = [&](const model& m, std::size_t count) {
    plain_cache cache(m.config());
    sampler draw({});
    std::vector<token_id> made;
    const std::size_t n =
        rota_lm::generate(m, cache, m.forward(prompt, cache), draw, count, m.config().vocab_size,
                          [&](token_id id) { made.push_back(id); });
    CHECK(n == made.size());
    return made;
  };
  const std::vector<token_id> free = run(lm, 5);
  CHECK(run(lm, 0).empty());
  REQUIRE(free.size() == 5);
  ending.eos = {free[3]};
  const std::size_t first =
      static_cast<std::size_t>(std::ranges::find(free, free[3]) - free.begin());
  CHECK(run(model(ending, lm.weights()), 5).size() == first);
}

TEST_CASE("ids outside the vocabulary are refused before anything happens") {
  const model lm = model::load(micro("llama"));
  plain_cache cache(lm.config());
  const auto vocab = static_cast<token_id>(lm.config().vocab_size);
  for (const token_id bad : {-1, vocab}) {
    const std::vector<token_id> ids = {0, bad};
    CHECK(one_line_with(error_of([&] { lm.forward(ids, cache); }), "outside the vocabulary"));
  }
  CHECK(one_line_with(error_of([&] { lm.forward({}, cache); }), "no tokens"));
  CHECK(cache.next_position() == 0);
  CHECK(cache.keys(0).empty());
}

TEST_CASE("logits of none, the last and all tokens") {
  const model lm = model::load(micro("llama"));
  const std::vector<token_id> ids = {5, 6, 7};
  const auto rows = [&](std::size_t last) {
    plain_cache cache(lm.config());
    return lm.forward(ids, cache, last).rows();
  };
  CHECK(rows(0) == 0);
  CHECK(rows(1) == 1);
  CHECK(rows(2) == 2);
  CHECK(rows(model::all_tokens) == 3);
}

TEST_CASE("sampling") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {1.0f, 3.0f, 3.0f, -infinity, 0.0f};
  CHECK(rota_lm::greedy(logits) == 1);
  CHECK(sampler({})(logits) == 1);
  sampler one({.temperature = 1.0, .top_k = 1});
  for (int i = 0; i < 50; ++i) CHECK(one(logits) == 1);

  sampler all({.temperature = 1.0, .seed = 7});
  std::map<token_id, int> seen;
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) ++seen[all(logits)];
  const double total = std::exp(1.0) + 2 * std::exp(3.0) + 1.0;
  CHECK(seen[0] == doctest::Approx(draws * std::exp(1.0) / total).epsilon(0.1));
  CHECK(seen[1] == doctest::Approx(draws * std::exp(3.0) / total).epsilon(0.05));
  CHECK(seen.count(3) == 0);

  sampler nucleus({.temperature = 1.0, .top_p = 0.6, .seed = 7});
  std::map<token_id, int> inside;
  for (int i = 0; i < 1000; ++i) ++inside[nucleus(logits)];
  CHECK(inside.size() == 2);
  CHECK((inside.contains(1) && inside.contains(2)));

  sampler again({.temperature = 1.0, .seed = 7});
  sampler other({.temperature = 1.0, .seed = 8});
  sampler same({.temperature = 1.0, .seed = 7});
  int different = 0;
  for (int i = 0; i < 100; ++i) {
    const token_id drawn = again(logits);
    CHECK(drawn == same(logits));
    different += drawn != other(logits);
  }
  CHECK(different > 0);
  CHECK(sampler({.temperature = 0.5})(std::vector<float>{1.0f, infinity}) == 1);

  CHECK(one_line_with(error_of([] { rota_lm::greedy({}); }), "no logits"));
  CHECK(one_line_with(error_of([] { rota_lm::greedy(std::vector<float>{0.0f, NAN}); }), "logit 1"));
  CHECK(one_line_with(error_of([] { sampler s({.temperature = -1.0}); }), "temperature"));
  CHECK(one_line_with(error_of([] { sampler s({.temperature = NAN}); }), "temperature"));
  for (const double p : {0.0, 1.1, -1.0, static_cast<double>(NAN)}) {
    CHECK(one_line_with(error_of([&] { sampler s({.top_p = p}); }), "top_p"));
  }
}

TEST_CASE("observers see what transformers' layers compute, whatever the passes") {
  const model lm = model::load(micro("qwen3"));
  const rota_lm::model_config& c = lm.config();
  const std::vector<token_id> ids = golden_ids("qwen3", "input_ids");
  const std::vector<std::size_t> layers = {1};
  const auto watch = [&](std::size_t pass, auto&... collectors) {
    plain_cache cache(c);
    rota_lm::observers all({&collectors...});
    for (std::size_t at = 0; at < ids.size(); at += pass) {
      lm.forward(std::span(ids).subspan(at, std::min(pass, ids.size() - at)), cache, 0, &all);
    }
    return cache;
  };
  rota_lm_test::moment_oracle whole(c), parts(c);
  rota_lm::query_window last(c, 6), last_parts(c, 6);
  rota_lm::hidden_states hidden(c, layers),
      residual(c, layers, rota_lm::hidden_states::point::residual);
  const plain_cache cache = watch(ids.size(), whole, last, hidden, residual);
  watch(5, parts, last_parts);

  CHECK(whole.count(0) == ids.size() - 4);
  CHECK(parts.count(1) == ids.size() - 4);
  for (std::size_t head = 0; head < c.q_heads; ++head) {
    CHECK((whole.mean(1, head) - parts.mean(1, head)).norm() < 1e-4);
    CHECK((whole.covariance(1, head) - parts.covariance(1, head)).norm() < 1e-3);
    CHECK(whole.covariance(1, head).trace() > 0);
  }
  CHECK(last.tokens(1) == 6);
  REQUIRE(last.queries(1).size() == 6 * c.q_heads * c.head_dim);
  for (std::size_t i = 0; i < last.queries(1).size(); ++i) {
    CHECK(last.queries(1)[i] == doctest::Approx(last_parts.queries(1)[i]).epsilon(1e-3));
  }
  CHECK(hidden.of(0).empty());
  CHECK(hidden.of(1).size() == ids.size() * c.hidden_size);
  // The values in the cache are the layer's V projection of the hidden states shown.
  const Eigen::Map<const matrix> h(hidden.of(1).data(), static_cast<Eigen::Index>(ids.size()),
                                   static_cast<Eigen::Index>(c.hidden_size));
  const matrix v = lm.weights().layers[1].v(h);
  for (Eigen::Index i = 0; i < v.size(); ++i) {
    CHECK(v.data()[i] ==
          doctest::Approx(cache.values(1)[static_cast<std::size_t>(i)]).epsilon(1e-4));
  }
  CHECK(residual.of(1).size() == hidden.of(1).size());
}
