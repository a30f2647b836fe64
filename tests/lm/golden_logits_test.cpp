// The micro checkpoints against the logits that transformers computed for them.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "engine/model.hpp"
#include "engine/plain_cache.hpp"
#include "engine/safetensors.hpp"

namespace {

using rota_lm::matrix;
using rota_lm::token_id;

struct golden {
  std::vector<token_id> ids;
  std::vector<float> logits;  // [ids, vocab]
};

std::string micro(const std::string& name) {
  return std::string(rota_own::source_dir()) + "/tests/goldens/micro/" + name;
}

golden read_golden(const std::string& folder) {
  const rota_lm::safetensors_file file(folder + "/golden.safetensors");
  golden g;
  for (const std::int64_t id : file.read_i64("input_ids")) {
    g.ids.push_back(static_cast<token_id>(id));
  }
  g.logits.resize(file.info("logits").elements);
  file.read_f32("logits", g.logits);
  return g;
}

float worst_difference(const matrix& logits, const float* expected) {
  float worst = 0;
  for (Eigen::Index i = 0; i < logits.size(); ++i) {
    const float difference = std::abs(logits.data()[i] - expected[i]);
    if (!(difference <= worst)) worst = difference;  // a NaN must not pass
  }
  return worst;
}

}  // namespace

TEST_CASE("logits equal transformers', in one prefill") {
  for (const std::string name : {"qwen2", "qwen3", "mistral", "llama"}) {
    CAPTURE(name);
    const golden g = read_golden(micro(name));
    const rota_lm::model model = rota_lm::model::load(micro(name));
    rota_lm::plain_cache cache(model.config());
    const matrix logits = model.forward(g.ids, cache, rota_lm::model::all_tokens);
    REQUIRE(static_cast<std::size_t>(logits.size()) == g.logits.size());
    const float worst = worst_difference(logits, g.logits.data());
    CHECK(worst < 1e-3f);
  }
}

TEST_CASE("the trained model's logits equal transformers' too") {
  const std::string folder =
      std::string(rota_own::source_dir()) + "/examples/lm/checkpoints/rota-synth";
  const golden g = read_golden(folder);
  const rota_lm::model model = rota_lm::model::load(folder);
  rota_lm::plain_cache cache(model.config());
  const matrix logits = model.forward(g.ids, cache, rota_lm::model::all_tokens);
  REQUIRE(static_cast<std::size_t>(logits.size()) == g.logits.size());
  CHECK(worst_difference(logits, g.logits.data()) < 1e-3f);
}

TEST_CASE("logits do not depend on how the tokens are split into passes") {
  for (const std::string name : {"qwen2", "qwen3", "mistral", "llama"}) {
    CAPTURE(name);
    const golden g = read_golden(micro(name));
    const rota_lm::model model = rota_lm::model::load(micro(name));
    rota_lm::plain_cache cache(model.config());
    const std::size_t vocab = model.config().vocab_size;
    std::size_t at = 0;
    for (std::size_t step = 1; at < g.ids.size(); step = step % 7 + 1) {  // 1 to 7 tokens a pass
      const std::size_t n = std::min(step, g.ids.size() - at);
      const matrix logits =
          model.forward({g.ids.data() + at, n}, cache, rota_lm::model::all_tokens);
      CHECK(worst_difference(logits, g.logits.data() + at * vocab) < 1e-3f);
      at += n;
    }
  }
}
