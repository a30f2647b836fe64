// Predictors of relevance: fitted to a micro checkpoint, written, read, refused, used by evaluate.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <rota/score/predictor_reference.hpp>

#include "engine/collectors.hpp"
#include "engine/model_tag.hpp"
#include "evaluate/program.hpp"
#include "fit/program.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

const std::string goldens = std::string(ROTA_SOURCE_DIR) + "/tests/goldens/micro/";
const std::string micro = goldens + "qwen2";

std::string read(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

/// A predictor for the micro checkpoint with weights that are easily told apart.
fitted_predictor made_up(const model& lm, rota::index_t rank) {
  const model_config& c = lm.config();
  fitted_predictor p;
  p.split = 1;
  p.group_width = 8;
  p.window = 16;
  p.model = model_identity(lm);
  p.shape = {static_cast<rota::index_t>(c.layers - 1), static_cast<rota::index_t>(c.kv_heads),
             static_cast<rota::index_t>(c.head_dim / 8), static_cast<rota::index_t>(c.hidden_size),
             rank};
  for (rota::index_t i = 0; i < p.shape.parameters(); ++i) {
    p.parameters.push_back(0.01f * static_cast<float>((i * 37) % 101 - 50));
  }
  p.notes = {{"steps", "7"}};
  return p;
}

fit_options parsed(std::vector<std::string> more) {
  std::vector<std::string> words = {"fit_predictor", "--model", micro, "--group-width", "8"};
  words.insert(words.end(), more.begin(), more.end());
  std::vector<const char*> pointers;
  for (const std::string& w : words) pointers.push_back(w.c_str());
  return parse_fit_options(static_cast<int>(pointers.size()), pointers.data());
}

std::string some_text() {
  std::string out;
  for (int i = 0; i < 200; ++i) out += "line " + std::to_string(i * 7919 % 1000) + " of a text. ";
  return out;
}

}  // namespace

TEST_CASE("a predictor comes back from its file as it was written") {
  const temp_folder folder;
  const model lm = model::load(micro);
  for (const rota::index_t rank : {0, 5}) {
    const fitted_predictor p = made_up(lm, rank);
    const std::string path = folder.path() + "/p.safetensors";
    save_predictor(p, path);
    const fitted_predictor back = load_predictor(path, lm.config(), model_identity(lm));
    CHECK(back.parameters == p.parameters);
    CHECK(back.split == 1);
    CHECK(back.window == 16);
    CHECK(back.group_width == 8);
    CHECK(back.conditioned() == (rank > 0));
    CHECK(back.notes.at("steps") == "7");
  }
}

TEST_CASE("a predictor's file is for whoever the umask lets read it") {
  const temp_folder folder;
  const std::string path = folder.path() + "/p";
  save_predictor(made_up(model::load(micro), 0), path);
  using std::filesystem::perms;
  const ::mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK(std::filesystem::status(path).permissions() == perms(0666 & ~mask));
}

TEST_CASE("a predictor's file is refused where it is not for the model, or not whole") {
  const temp_folder folder;
  const model lm = model::load(micro), other = model::load(goldens + "llama");
  const std::string path = folder.path() + "/p.safetensors", own = model_identity(lm);
  const auto load = [&](const std::string& from) {
    return error_of([&] { load_predictor(from, lm.config(), own); });
  };
  save_predictor(made_up(lm, 3), path);
  const std::string good = read(path);
  CHECK(
      one_line_with(error_of([&] { load_predictor(path, lm.config(), "0123"); }), "another model"));
  CHECK(
      one_line_with(error_of([&] { load_predictor(path, other.config(), model_identity(other)); }),
                    "another model"));
  CHECK(one_line_with(load(micro + "/model.safetensors"), "is not a predictor"));
  CHECK(one_line_with(load(folder.path() + "/none"), "cannot open"));

  for (std::size_t length = 0; length < good.size(); length += 97) {
    CHECK(load(folder.write("cut", std::string_view(good).substr(0, length))) != "");
  }
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const std::size_t at = bytes.find(from);
    REQUIRE(at != std::string::npos);
    bytes.replace(at, from.size(), to);
    return load(folder.write("changed", bytes));
  };
  CHECK(one_line_with(changed("\"rank\":\"3\"", "\"rank\":\"4\""), "weights"));
  CHECK(one_line_with(changed("\"rank\":\"3\"", "\"rank\":\"x\""), "rank"));
  CHECK(one_line_with(changed("\"split\":\"1\"", "\"split\":\"9\""), "split"));
  CHECK(one_line_with(changed("\"group_width\":\"8\"", "\"group_width\":\"4\""), "groups"));
  CHECK(one_line_with(changed("rota.predictor.1", "rota.predictor.7"), "format"));
  std::string not_a_number = good;
  for (std::size_t i = 4; i > 0; --i) not_a_number[not_a_number.size() - i] = '\xff';
  CHECK(one_line_with(load(folder.write("nan", not_a_number)), "finite"));
}

TEST_CASE("fit_predictor fits a checkpoint from a text file, the same on any number of threads") {
  const temp_folder folder;
  const std::string text = folder.write("text", some_text());
  const auto fit = [&](const std::string& threads) {
    const std::string out = folder.path() + "/fitted" + threads;
    std::ostringstream shown;
    fit_predictor(parsed({"--out",       out,         "--text",     text,      "--context",
                          "96",          "--samples", "12",         "--steps", "120",
                          "--rank",      "4",         "--threads",  threads,   "--json",
                          out + ".json", "--svg",     out + ".svg", "--state", out + ".state"}),
                  shown);
    CHECK(shown.str().find("held out") != std::string::npos);
    return out;
  };
  const std::string first = fit("1"), second = fit("2");
  CHECK(read(first) == read(second));
  CHECK(read(first + ".json") == read(second + ".json"));
  const auto course = nlohmann::json::parse(read(first + ".json"));
  REQUIRE(course["looks"].size() == 3);
  CHECK(course["looks"][0]["training"].is_null());
  CHECK(course["looks"][1]["step"] == 100);
  CHECK(course["looks"][2]["step"] == 120);  // the last steps are looked at too
  CHECK(course["best_step"] == 120);
  CHECK(course["looks"][2]["held_out"] < course["looks"][0]["held_out"]);
  const std::string weights = read(first), losses = read(first + ".json");
  std::filesystem::remove(first);
  fit("1");  // its state is there: nothing is left to do but to write
  CHECK(read(first) == weights);
  CHECK(read(first + ".json") == losses);
  CHECK(read(first + ".svg").find("</svg>") != std::string::npos);
  const model lm = model::load(micro);
  CHECK(load_predictor(first, lm.config(), model_identity(lm)).shape.rank == 4);
}

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
  lm.forward(t.ids, cache, 0, record);
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
    const eval::scored<3> stored(c.kv_heads(), c.tokens(), groups),
        behind(c.kv_heads(), c.tokens(), groups);
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

TEST_CASE("texts for the unseen protocol are cut before any question, and ask for all there is") {
  const tokenizer text =
      tokenizer::load(std::string(ROTA_SOURCE_DIR) + "/examples/lm/checkpoints/rota-synth");
  const std::vector<synth::task> recall = {synth::task::needle, synth::task::vartrack,
                                           synth::task::choice};
  const text_lengths lengths{512, 300, 16};
  const generated_texts asked(recall, text, lengths, 1);
  const unasked_texts unasked(recall, text, lengths, 1);
  for (std::size_t i = 0; i < 12; ++i) {
    const cut_text one = asked.make(i), all = unasked.make(i);
    CHECK(all.cut <= 512);
    CHECK(all.ids.size() > all.cut + 20);
    CHECK(all.ids.size() <= all.cut + 300);
    CHECK(text.decode(std::span(all.ids).first(all.cut)).find('?') == std::string::npos);
    const std::string questions = text.decode(std::span(all.ids).subspan(all.cut));
    CHECK(std::count(questions.begin(), questions.end(), '?') > 1);
    CHECK(one.cut > 0);
    CHECK(unasked.make(i).ids == all.ids);  // the same number, the same text
  }
}

TEST_CASE("a calibration that cannot be is refused in one line") {
  const temp_folder folder;
  const std::string out = folder.path() + "/fitted";
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--out", out});
    std::ostringstream ignored;
    return error_of([&] { fit_predictor(parsed(more), ignored); });
  };
  const std::string brief = folder.write("brief", "few words"),
                    text = folder.write("t", some_text());
  CHECK(one_line_with(refused({"--text", brief}), "not longer than the window"));
  CHECK(one_line_with(refused({"--text", text, "--context", "100000"}), "--context"));
  CHECK(one_line_with(refused({"--text", text, "--split", "2"}), "--split"));
  CHECK(one_line_with(refused({"--tasks", "poetry"}), "poetry"));
  CHECK(one_line_with(refused({"--text", text, "--target", "rank"}), "rank"));
  CHECK(one_line_with(refused({"--text", text, "--tasks", "needle"}), "not both"));
  CHECK(one_line_with(refused({"--tasks", "text", "--context", "200", "--window", "195"}),
                      "not longer than"));
  CHECK(one_line_with(
      refused({"--tasks", "text", "--context", "130", "--window", "120", "--protocol", "unseen"}),
      "not longer than"));
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("the state of a fit comes back as it was, for the same run only") {
  const temp_folder folder;
  const std::string path = folder.path() + "/state";
  rota::cpu::predictor_fit_state s;
  s.parameters = {1, 2, 3};
  s.first_moment = {4, 5, 6};
  s.second_moment = {7, 8, 9};
  s.best = {10, 11, 12};
  s.best_loss = 0.1;
  s.step = 300;
  s.looks_since_best = 2;
  save_fit(s, {{0, std::nanf(""), 9}, {100, 8, 7.5f}}, "this run", path);
  const saved_fit saved = load_fit(path, "this run", 3, 300);
  const rota::cpu::predictor_fit_state& back = saved.state;
  CHECK(back.parameters == s.parameters);
  CHECK(back.first_moment == s.first_moment);
  CHECK(back.second_moment == s.second_moment);
  CHECK(back.best == s.best);
  CHECK(back.best_loss == s.best_loss);
  CHECK(back.step == 300);
  CHECK(back.looks_since_best == 2);
  REQUIRE(saved.course.size() == 2);
  CHECK(std::isnan(saved.course[0].training));
  CHECK(saved.course[1].step == 100);
  CHECK(saved.course[1].held_out == 7.5f);
  CHECK(one_line_with(error_of([&] { load_fit(path, "another", 3, 300); }), "another fit"));
  CHECK(one_line_with(error_of([&] { load_fit(path, "this run", 4, 300); }), "shape"));
  CHECK(one_line_with(error_of([&] { load_fit(micro + "/model.safetensors", "x", 3, 300); }),
                      "is not the state of a fit"));
}

TEST_CASE("scores made at the split are those of states that were kept") {
  const model lm = model::load(micro);
  std::vector<token_id> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(i * 37 % static_cast<int>(lm.config().vocab_size));
  for (const rota::index_t rank : {0, 4}) {
    const fitted_predictor p = made_up(lm, rank);
    const std::size_t rows = 39;  // the last token judges, but is not ranked
    eval::split_scores at_split(&p, {.tokens = true, .groups = true}, rows, {});
    const std::size_t layers[] = {p.split};
    hidden_states kept(lm.config(), layers);
    observers both(at_split, kept);
    dense_cache<rota::bf16> cache(lm.config(), ids.size());
    lm.forward(ids, cache, 0, both);
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
  const fitted_predictor p = made_up(lm, 4);
  eval::split_scores at_split(&p, {.tokens = true}, 20, {});
  dense_cache<rota::bf16> cache(lm.config(), 20);
  const std::vector<token_id> half(10, 5);
  CHECK(one_line_with(error_of([&] { lm.forward(half, cache, 0, at_split); }), "one forward pass"));
}

TEST_CASE("evaluate selects by a predictor and by the oracle") {
  const temp_folder folder;
  for (const char* name : {"/config.json", "/tokenizer.json", "/model.safetensors"}) {
    std::filesystem::copy_file(micro + name, folder.path() + name);
  }
  auto config = json::parse(read(micro + "/config.json"));
  config["max_position_embeddings"] = 4096;
  folder.write("config.json", config.dump());
  const model lm = model::load(folder.path());
  const std::string file = folder.path() + "/p.safetensors";
  save_predictor(made_up(lm, 4), file);
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
