// What a predictor learns from: targets against scores of their own.
#include "fit/calibration.hpp"

#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include <rota/cpu/score.hpp>
#include <rota/score/value_norm.hpp>
#include <rota/score/wo_norm.hpp>

#include "engine/collectors.hpp"
#include "engine/dense_cache.hpp"
#include "engine/model.hpp"
#include "engine/model_outputs.hpp"
#include "engine/rota_call.hpp"
#include "engine/scoring_context.hpp"
#include "engine/scratch_memory.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace {

using namespace rota_lm;

const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";

std::string some_text() {
  std::string out;
  for (int i = 0; i < 200; ++i) out += "line " + std::to_string(i * 7919 % 1000) + " of a text. ";
  return out;
}

/// Scores [kv_heads, tokens, groups] and their memory.
struct scored {
  std::vector<float> memory;
  rota::view<float, 3> view;

  scored(rota::index_t heads, rota::index_t tokens, rota::index_t groups)
      : memory(static_cast<std::size_t>(heads * tokens * groups)),
        view(memory.data(), heads, tokens, groups) {}
};

}  // namespace

TEST_CASE("a target behind the output projection differs by what the projection makes of a slice") {
  const model lm = model::load(micro);
  const tokenizer text = tokenizer::load(micro);
  cut_text t{text.encode(some_text()), 60};
  t.ids.resize(70);
  calibration_setting plain;
  plain.group_width = 8;
  calibration_setting projected = plain;
  projected.worth = slice_worth::wo_norm;
  const owned_calibration a = calibrator(lm, plain).gather(t),
                          b = calibrator(lm, projected).gather(t);

  dense_cache<rota::bf16> cache(lm.config(), t.ids.size());
  prefill_record record(lm);
  lm.forward(t.ids, cache, 0, &record);
  const model_outputs outputs(lm, 8);
  scratch_memory scratch;
  std::size_t at = 0;
  for (std::size_t layer = plain.split; layer < lm.config().layers; ++layer) {
    const scoring_context<rota::bf16> scoring(cache, record, layer);
    rota::context<rota::bf16, rota::output_gram> c;
    c.keys = scoring.get().keys;
    c.values = scoring.get().values;
    static_cast<rota::output_gram&>(c) = outputs.gram(layer);
    const rota::index_t groups = c.d_v() / 8;
    const scored stored(c.kv_heads(), c.tokens(), groups), behind(c.kv_heads(), c.tokens(), groups);
    const auto score = [&](auto scorer, const auto& out) {
      const auto ws =
          scratch.at_least(rota::cpu::score_groups_workspace_bytes({}, scorer, {}, c, 8));
      require(rota::cpu::score_groups({}, scorer, {}, c, 8, out, ws), "scores");
    };
    score(rota::value_norm{}, stored.view);
    score(rota::wo_norm{}, behind.view);
    for (auto j = static_cast<rota::index_t>(plain.sinks); j < 60 - 16; ++j) {
      for (rota::index_t h = 0; h < c.kv_heads(); ++h) {
        for (rota::index_t s = 0; s < groups; ++s, ++at) {
          const double changed = double{behind.view(h, j, s)} / double{stored.view(h, j, s)};
          const double expected = static_cast<double>(static_cast<float>(a.target[at])) * changed;
          CHECK(static_cast<double>(static_cast<float>(b.target[at])) ==
                doctest::Approx(expected).epsilon(0.01));
        }
      }
    }
  }
  CHECK(at == b.target.size());
}
