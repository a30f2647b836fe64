// evaluate from end to end on a micro checkpoint.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/generate.hpp"
#include "engine/json.hpp"
#include "engine/packed_cache.hpp"
#include "engine/sampler.hpp"
#include "evaluate/answer.hpp"
#include "evaluate/attend_timing.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/program.hpp"
#include "evaluate/reading_cache.hpp"
#include "evaluate/table.hpp"
#include "evaluate/task_list.hpp"
#include "micro_folder.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm::eval;
using rota_lm::model;
using rota_lm::packed_cache;
using rota_lm::token_id;
using rota_lm::tokenizer;

const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";

using rota_lm_test::long_micro;
using rota_lm_test::read_text;

options small_options() {
  const std::string& model = long_micro();
  const char* words[] = {"evaluate",  "--model", model.c_str(), "--context", "256",
                         "--samples", "3",       "--timing",    "off"};
  return parse_options(static_cast<int>(std::size(words)), words);
}

struct setting {
  options o = small_options();
  model lm = model::load(long_micro());
  tokenizer text = tokenizer::load(long_micro());

  prepared make(rota_lm::synth::task kind, std::size_t number) const {
    return synthetic_task(kind, o, lm.config(), text).make(number);
  }
};

}  // namespace

TEST_CASE("a budget in bytes is met from below, by every scorer and budget") {
  setting s;
  std::vector<std::string> names = {"token_only", "token_x_subtoken"};
  for (const auto& [scorer, which] : token_scorer_names) {
    if (which == token_scorer::predictor || which == token_scorer::oracle) continue;
    for (const auto& [rule, value] : budget_names) {
      names.push_back(std::string(scorer) + ":" + std::string(rule));
      names.push_back(names.back() + "+value_norm:keep_ratio");
    }
  }
  for (const char* rule :
       {"keep_ratio", "global_top_m", "adaptive_span", "head_adaptive", "pyramid"}) {
    names.push_back(std::string("key_norm:keep_ratio+attention_mass:") + rule);
    names.push_back(std::string("attention_mass:") + rule);
    names.push_back(std::string("key_norm:keep_ratio+wo_norm:") + rule);
    names.push_back(std::string("key_norm:keep_ratio+attention_mass_wo:") + rule);
  }
  s.o.methods.clear();
  for (const std::string& name : names) {
    s.o.methods.push_back(
        parse_method(name, s.o.tokens, s.o.groups, s.o.every_token_groups, "test"));
  }
  counting_memory memory;
  const prepared sample = s.make(rota_lm::synth::task::needle, 0);
  const run_extras extras = find_extras(s.o, s.lm);
  REQUIRE(extras.outputs);
  prefilled prefill(s.lm, sample, s.o, memory, extras.shared());
  compressor compress = prefill.make_compressor(s.o);
  const double dense = static_cast<double>(prefill.dense().used_bytes());
  for (const method& m : s.o.methods) {
    // Every token's keys and positions are there where only groups are selected.
    for (const double budget : {m.tokens ? 0.6 : 0.9, 0.75}) {
      CAPTURE(m.name);
      CAPTURE(budget);
      REQUIRE(compress.fit(m, 0.5, static_cast<std::size_t>(budget * dense)));
      packed_cache cache(s.lm.config(), {}, &memory.packed);
      compress.pack(sample.room(), cache);
      const double ratio = static_cast<double>(measured_bytes(cache)) / dense;
      CHECK(ratio <= budget);
      // At rho 0.5 nothing takes more than three quarters and the index.
      CHECK(ratio > budget - 0.02);
      CHECK(memory.packed.live_bytes() == cache.allocated_bytes());
    }
  }
}

TEST_CASE("a budget that cannot hold the protected tokens is reported, not fatal") {
  options o = small_options();
  o.samples = 1;
  o.tasks = {rota_lm::synth::task::needle};
  o.budgets = {0.75, 0.02};
  o.every_token_budgets = {0.3};
  const model lm = model::load(long_micro());
  const evaluation e = evaluate(o, lm, tokenizer::load(long_micro()));
  std::size_t failed = 0;
  for (const row_result& r : e.rows) {
    const bool too_small = r.spec.packed() && r.spec.kv_budget < 0.5;
    CHECK(r.failure.empty() == !too_small);
    if (!too_small) continue;
    ++failed;
    CHECK(r.failure.find("budget_too_small") == 0);
    CHECK(row_json(e, r)["needle"].is_null());
    CHECK(row_json(e, r)["failure"] == r.failure);
  }
  CHECK(failed == 3);
}

TEST_CASE("a row that reads in part keeps everything, reads within its budget, and reports both") {
  options o = small_options();
  o.tasks = {rota_lm::synth::task::needle, rota_lm::synth::task::choice};
  o.methods = {parse_method("quest", o.tokens, o.groups, o.every_token_groups, "test"),
               parse_method("token_only", o.tokens, o.groups, o.every_token_groups, "test")};
  o.budgets = {0.6, 0.05};
  const model lm = model::load(long_micro());
  const evaluation e = evaluate(o, lm, tokenizer::load(long_micro()));
  for (const row_result& r : e.rows) {
    const auto row = row_json(e, r);
    CAPTURE(row.dump());
    if (!r.spec.reading()) {
      CHECK(row["read_bytes_ratio"] == row["kv_bytes_ratio"]);
    } else if (r.spec.kv_budget < 0.1) {
      CHECK(r.failure.find("budget_too_small") == 0);
    } else {
      CHECK(row["kv_bytes_ratio"] > 1);  // the bounds are there beside all keys and values
      CHECK(row["kv_bytes_ratio"] < 1.2);
      CHECK(row["read_bytes_ratio"] <= 0.6);
      CHECK(row["read_bytes_ratio"] > 0.4);
      CHECK(row["tokens_kept"] == 1);
      CHECK(row["needle"].is_number());
    }
  }
}

TEST_CASE("reading everything answers as dense does") {
  const setting s;
  counting_memory memory;
  const prepared sample = s.make(rota_lm::synth::task::text, 0);
  prefilled prefill(s.lm, sample, s.o, memory);
  const outcome dense = answer(s.lm, s.text, sample, sample.prompt, prefill.dense());
  prefill.dense().truncate(sample.compressed());
  reading_cache reader(prefill.dense(), 1000);
  const outcome read = answer(s.lm, s.text, sample, sample.prompt, reader);
  CHECK(read.score == doctest::Approx(dense.score).epsilon(1e-5));
  CHECK(reader.read_bytes() > reader.dense_bytes());
}

TEST_CASE("everything kept answers as dense does") {
  setting s;
  s.o.tasks = {rota_lm::synth::task::text, rota_lm::synth::task::choice};
  s.o.methods = {{"whole", {}, group_choice{group_scorer::value_norm, budget::keep_ratio}, {}}};
  s.o.every_token_budgets = {1};
  // All groups kept need no index, but a header and positions: let them be paid.
  counting_memory memory;
  const prepared sample = s.make(rota_lm::synth::task::text, 0);
  prefilled prefill(s.lm, sample, s.o, memory);
  compressor compress = prefill.make_compressor(s.o);
  REQUIRE(compress.try_select(s.o.methods[0], {1, 1}));
  packed_cache cache(s.lm.config());
  compress.pack(sample.room(), cache);
  const outcome dense = answer(s.lm, s.text, sample, sample.prompt, prefill.dense());
  const outcome packed = answer(s.lm, s.text, sample, sample.prompt, cache);
  CHECK(packed.score == doctest::Approx(dense.score).epsilon(1e-5));
}

TEST_CASE("answers are scored as greedy decoding would be") {
  const setting s;
  counting_memory memory;
  prepared sample = s.make(rota_lm::synth::task::needle, 1);
  prefilled prefill(s.lm, sample, s.o, memory);
  const std::size_t length = prefill.dense().next_position();
  // What the model really says is right, with any other token in it wrong.
  std::vector<token_id> said;
  rota_lm::sampler greedy({});
  rota_lm::generate(s.lm, prefill.dense(), s.lm.forward(sample.prompt, prefill.dense()), greedy, 4,
                    s.lm.config().vocab_size, [&](token_id id) { said.push_back(id); });
  REQUIRE(said.size() == 4);
  prefill.dense().truncate(length);
  sample.answers = {said};
  CHECK(answer(s.lm, s.text, sample, sample.prompt, prefill.dense()).score == 1);
  for (std::size_t i = 0; i < said.size(); ++i) {
    prefill.dense().truncate(length);
    sample.answers = {said};
    sample.answers[0][i] = (said[i] + 1) % 300;
    CHECK(answer(s.lm, s.text, sample, sample.prompt, prefill.dense()).score == 0);
  }
}

TEST_CASE("the two protocols cut a sample where they say") {
  setting s;
  const auto joined = [](prepared p) {
    p.prefill.resize(p.compressed());
    p.prefill.insert(p.prefill.end(), p.prompt.begin(), p.prompt.end());
    return p.prefill;
  };
  s.o.when = protocol::seen;
  const prepared seen = s.make(rota_lm::synth::task::vartrack, 2);
  CHECK(seen.prompt.size() == 1);
  CHECK(seen.question_prefilled == seen.question.size());
  s.o.when = protocol::unseen;
  const prepared unseen = s.make(rota_lm::synth::task::vartrack, 2);
  CHECK(unseen.prompt == unseen.question);
  CHECK(unseen.question_prefilled == 0);
  CHECK(joined(seen) == joined(unseen));
  CHECK(unseen.prefill.size() <= s.o.context);
  // A text has no question; its last token runs through the store all the same.
  const prepared text = s.make(rota_lm::synth::task::text, 0);
  CHECK(text.prompt.size() == 1);
  CHECK(text.compressed() + 1 == text.prefill.size());
}

TEST_CASE("a run writes rows with all the keys, twice the same") {
  const rota_lm_test::temp_folder folder;
  options o = small_options();
  o.out = folder.path() + "/out";
  o.json = folder.path() + "/rows.json";
  o.budgets = {0.8, 0.75, 0.6, 0.5};  // narrow heads, so the index weighs more
  o.every_token_budgets = {0.95, 0.8};
  std::ostringstream first, second;
  run(o, first);
  const std::string rows = read_text(o.json);
  o.threads = 1;
  run(o, second);
  CHECK(rows == read_text(o.json));  // whatever the number of threads
  CHECK(rows == read_text(o.out + "/results.json"));
  CHECK(first.str().find("token_x_subtoken") != std::string::npos);

  const auto parsed = rota_lm::json::parse(rows);
  REQUIRE(parsed.is_array());
  CHECK(parsed.size() == 12);
  for (const auto& row : parsed) {
    CAPTURE(row.dump());
    for (const char* key :
         {"method", "tokens_kept", "rho", "kv_budget", "kv_bytes_ratio", "perplexity", "needle",
          "vartrack", "choice", "n", "decode_ms_per_token", "attend_time_ratio", "protocol"}) {
      CHECK(row.contains(key));
    }
    CHECK(row["kv_bytes_ratio"] <= row["kv_budget"].get<double>() + 0.01);
    CHECK(row["n"] == 3);
    CHECK(row["perplexity"] > 1);
    CHECK(row["dense_bytes_while_packed_decodes"] == 0);
    CHECK(row["memory_checks"] == 3 * 4 * 10 * 2);
  }
  for (const char* picture : {"/quality.svg", "/retention.svg"}) {
    const std::string text = read_text(o.out + picture);
    CHECK(text.starts_with("<svg "));
    CHECK(text.ends_with("</svg>\n"));
    CHECK(text.find("nan") == std::string::npos);
  }
}

TEST_CASE("attention over random data is timed for every scorer, also those that read a model") {
  std::vector<row_result> rows(2);
  rows[0].spec = {row_spec::kind::no_context, {"no_context", {}, {}}, 0};
  rows[1].spec = {row_spec::kind::dense, {"dense", {}, {}}, 1};
  const auto add = [&](const std::string& name) {
    rows.emplace_back().spec = {row_spec::kind::packed, parse_method(name, {}, {}, {}, "test"),
                                0.7};
  };
  for (const auto& [name, scorer] : token_scorer_names) add(std::string(name) + ":keep_ratio");
  for (const auto& [name, scorer] : group_scorer_names) {
    add("key_norm:keep_ratio+" + std::string(name) + ":fixed_k");
  }
  options o = small_options();
  o.group_width = 8;
  const attend_shape shape{.tokens = 256, .kv_heads = 2, .q_heads = 4, .d = 32};
  std::size_t done = 0;
  time_attention(o, shape, {}, rows, [&](const row_result&) { ++done; });
  CHECK(done == rows.size() - 2);
  CHECK(std::isnan(rows[0].attend_time_ratio));
  CHECK(rows[1].attend_time_ratio == 1);
  for (std::size_t r = 2; r < rows.size(); ++r) {
    CAPTURE(rows[r].spec.title());
    CHECK(rows[r].attend_time_ratio > 0);
  }
}

TEST_CASE("a run that cannot be is refused in one line") {
  const rota_lm_test::temp_folder folder;
  std::ostringstream out;
  options o = small_options();
  o.model = micro;
  o.context = 600;
  CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { run(o, out); }), "512 positions"));
  o.context = 512;  // fits, but not with its question
  CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { run(o, out); }),
                                    "longer than the model"));
  o = small_options();
  o.model = folder.path() + "/nowhere";
  CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { run(o, out); }), "nowhere"));
  o = small_options();
  o.json = folder.path() + "/no/such/folder.json";
  o.samples = 1;
  CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { run(o, out); }), "written"));
  o = small_options();
  o.samples = 1;
  std::ostringstream full;
  full.setstate(std::ios::badbit);
  CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { run(o, full); }), "written"));
  o.out = folder.write("file", "") + "/out";
  CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { run(o, out); }), "--out"));
}
