// Predictors of relevance in use: scores made at the split, and in evaluate.
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include <rota/score/predictor_reference.hpp>

#include "engine/collectors.hpp"
#include "engine/dense_cache.hpp"
#include "engine/json.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/program.hpp"
#include "evaluate/split_scores.hpp"
#include "evaluate/task_list.hpp"
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

const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";

}  // namespace

TEST_CASE("scores made at the split are those of states that were kept") {
  const model lm = model::load(micro);
  std::vector<token_id> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(i * 37 % static_cast<int>(lm.config().vocab_size));
  for (const rota::index_t rank : {0, 4}) {
    const fitted_predictor p = made_up_predictor(lm, rank);
    const std::size_t rows = 39;  // the last token judges, but is not ranked
    eval::split_scores at_split(&p, {.tokens = true, .groups = true}, rows, {});
    const std::size_t layers[] = {p.split};
    hidden_states kept(lm.config(), layers);
    observers both({&at_split, &kept});
    dense_cache<rota::bf16> cache(lm.config(), ids.size());
    lm.forward(ids, cache, 0, &both);
    const auto hidden = kept.of(p.split);
    const auto width = static_cast<rota::index_t>(kept.width());
    REQUIRE(at_split.tokens().size() == lm.config().layers);
    for (std::size_t layer = p.split; layer < lm.config().layers; ++layer) {
      rota::context<rota::bf16, rota::split_states, rota::linear_relevance, rota::query_states,
                    rota::bilinear_relevance>
          c;
      const auto turned = [&](const rota::view<rota::bf16, 3>& x) {
        return rota::view<const rota::bf16, 3>(
            x.data, {static_cast<rota::index_t>(rows), x.extent[0], x.extent[2]},
            {x.stride[1], x.stride[0], x.stride[2]});
      };
      c.keys = turned(cache.store(layer).keys);
      c.values = turned(cache.store(layer).values);
      c.hidden = rota::view<const float, 2>(hidden.data(), rows, width);
      c.query_hidden = rota::view<const float, 2>(hidden.last(16 * kept.width()).data(), 16, width);
      const auto w = p.layer(layer);
      c.linear = w.linear;
      c.bias = w.bias;
      c.token_factor = w.token_factor;
      c.query_factor = w.query_factor;
      c.mix = w.mix;
      const auto compare = [&](auto form) {
        using F = decltype(form);
        const auto tokens = rota::reference::score_tokens(rota::token_predictor<F>{}, {}, c);
        const auto groups = rota::reference::score_groups(rota::predictor<F>{}, {}, c, 8);
        const std::vector<float>& t = at_split.tokens()[layer].memory;
        const std::vector<float>& g = at_split.groups()[layer].memory;
        REQUIRE(t.size() == tokens.size());
        REQUIRE(g.size() == groups.size());
        for (std::size_t i = 0; i < t.size(); ++i) {
          CHECK(double{t[i]} == doctest::Approx(tokens[i]).epsilon(1e-4));
        }
        for (std::size_t i = 0; i < g.size(); ++i) {
          CHECK(double{g[i]} == doctest::Approx(groups[i]).epsilon(1e-4));
        }
      };
      rank == 0 ? compare(rota::query_blind{}) : compare(rota::query_conditioned{});
    }
    CHECK(at_split.seconds() > 0);
  }
}

TEST_CASE("scores at the split need the whole prefill at once") {
  const model lm = model::load(micro);
  const fitted_predictor p = made_up_predictor(lm, 4);
  eval::split_scores at_split(&p, {.tokens = true}, 20, {});
  dense_cache<rota::bf16> cache(lm.config(), 20);
  const std::vector<token_id> half(10, 5);
  CHECK(
      one_line_with(error_of([&] { lm.forward(half, cache, 0, &at_split); }), "one forward pass"));
}

TEST_CASE("evaluate selects by a predictor and by the oracle") {
  const temp_folder folder;
  for (const char* name : {"/config.json", "/tokenizer.json", "/model.safetensors"}) {
    std::filesystem::copy_file(micro + name, folder.path() + name);
  }
  auto config = json::parse(read_text(micro + "/config.json"));
  config["max_position_embeddings"] = 4096;
  folder.write("config.json", config.dump());
  const model lm = model::load(folder.path());
  const std::string file = folder.path() + "/p.safetensors";
  save_predictor(made_up_predictor(lm, 4), file);
  const std::string model_path = folder.path();
  for (const char* when : {"seen", "unseen"}) {
    std::istringstream line(
        "evaluate --model " + model_path + " --predictor " + file + " --protocol " + when +
        " --context 256 --samples 2 --timing off --tasks needle,choice --budgets 0.5 "
        "--every-token-budgets 0.9 --methods predictor:keep_ratio,"
        "predictor:global_top_m+predictor:global_top_m,-+predictor:adaptive_span,"
        "oracle:keep_ratio+oracle:keep_ratio");
    const std::vector<std::string> words(std::istream_iterator<std::string>(line), {});
    std::vector<const char*> pointers;
    for (const std::string& w : words) pointers.push_back(w.c_str());
    const eval::options o = eval::parse_options(static_cast<int>(pointers.size()), pointers.data());
    const eval::evaluation e = eval::evaluate(o, lm, tokenizer::load(model_path));
    for (const eval::row_result& r : e.rows) {
      CAPTURE(r.spec.title());
      CHECK(r.failure.empty());
      if (r.spec.packed()) CHECK(r.bytes.ratio() <= r.spec.kv_budget);
    }
  }
  const char* without[] = {"evaluate", "--model", model_path.c_str(), "--methods",
                           "predictor:keep_ratio"};
  CHECK(one_line_with(error_of([&] { eval::parse_options(5, without); }), "--predictor"));
}
