// adapt as a program: what it refuses, what it writes; value routing files; bases in whole models.
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "adapt/options.hpp"
#include "adapt/program.hpp"
#include "engine/adapted_model.hpp"
#include "engine/command_line.hpp"
#include "engine/json.hpp"
#include "engine/plain_cache.hpp"
#include "engine/value_routing_file.hpp"
#include "evaluate/options.hpp"
#include "micro_folder.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::read_text;
using rota_lm_test::temp_folder;

namespace {

const std::string micro = std::string(rota_own::source_dir()) + "/tests/goldens/micro/qwen2";

std::string some_text() {
  std::string out;
  for (int i = 0; i < 300; ++i) out += "line " + std::to_string(i * 7919 % 1000) + " of a text. ";
  return out;
}

/// A small run; `more` adds options and replaces values.
adapt_options parsed(const std::vector<std::string>& more) {
  std::map<std::string, std::string> options = {
      {"--model", micro},       {"--group-width", "8"}, {"--prefix", "40"}, {"--continuation", "8"},
      {"--calibrate-at", "48"}, {"--steps", "2"},       {"--batch", "2"},   {"--fill-rank", "4"}};
  for (std::size_t i = 0; i < more.size(); i += 2) options[more[i]] = more[i + 1];
  std::vector<const char*> words = {"adapt"};
  for (const auto& [name, value] : options)
    words.insert(words.end(), {name.c_str(), value.c_str()});
  return parse_adapt_options(static_cast<int>(words.size()), words.data());
}

std::string refusal(const std::vector<std::string>& more) {
  std::ostringstream ignored;
  return error_of([&] { adapt(parsed(more), ignored); });
}

matrix logits_of(const model& lm) {
  std::vector<token_id> ids;
  for (int i = 0; i < 40; ++i) ids.push_back(static_cast<token_id>(i * 13 % 90));
  plain_cache cache(lm.config());
  return lm.forward(ids, cache, model::all_tokens);
}

}  // namespace

TEST_CASE("adapt refuses what cannot be in one line, and leaves nothing behind") {
  const temp_folder folder;
  const std::string out = folder.path() + "/out", text = folder.write("t", some_text()),
                    brief = folder.write("brief", "few words");
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--out", out});
    return refusal(more);
  };
  CHECK(one_line_with(refused({"--rank", "10", "--subspaces", "4", "--active", "1"}), "--rank"));
  CHECK(one_line_with(refused({"--subspaces", "4", "--active", "5"}), "--active"));
  CHECK(one_line_with(refused({"--rank", "9", "--subspaces", "3"}), "subspaces"));
  CHECK(one_line_with(refused({"--groups", "some"}), "adaptive_span"));
  CHECK(one_line_with(refused({"--fill", "none"}), "low_rank"));
  CHECK(one_line_with(refused({"--rhos", "0.5,2"}), "\"2\""));
  CHECK(one_line_with(refused({"--targets", "q,q"}), "twice"));
  CHECK(one_line_with(refused({"--targets", "z"}), "\"z\""));
  CHECK(one_line_with(refused({"--prefix", "20"}), "--prefix: of 20 tokens"));
  CHECK(one_line_with(refused({"--learning-rate", "nan"}), "--learning-rate"));
  CHECK(one_line_with(refused({"--speed", "9"}), "--speed"));
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(one_line_with(refused({"--text", brief}), "tokens"));
  CHECK(one_line_with(refused({"--text", folder.path() + "/no"}), "/no"));
  CHECK(one_line_with(refused({"--text", text, "--group-width", "7"}), "--group-width"));
  CHECK(std::filesystem::is_empty(out));
}

TEST_CASE("adapt refuses before the work what could only fail after it") {
  const temp_folder folder;
  const std::string out = folder.path() + "/out", text = folder.write("t", some_text()),
                    file = folder.write("file", "");
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--text", text, "--out", out});
    return refusal(more);
  };
  for (const char* name : {"--out", "--state", "--json", "--text"})
    CHECK(one_line_with(refused({name, ""}), name));
  CHECK(one_line_with(refused({"--out", file}), "--out"));
  CHECK(one_line_with(refused({"--state", folder.path() + "/no/state"}), "/no/state"));
  CHECK(one_line_with(refused({"--json", folder.path()}), folder.path()));
  CHECK(one_line_with(refused({"--fill-rank", "5"}), "--fill-rank: 5 cannot be packed"));
  std::filesystem::create_directories(out + "/adapter_config.json/x");
  CHECK(one_line_with(refused({}), "adapter_config.json"));
}

TEST_CASE("adapt refuses options that would be without effect") {
  const temp_folder folder;
  const std::string out = folder.path() + "/out";
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--out", out});
    return refusal(more);
  };
  CHECK(one_line_with(refused({"--rhos", "0.5,0.25,0.50"}), "--rhos: names \"0.50\" twice"));
  CHECK(one_line_with(refused({"--rhos", "0.5,0"}), "--rhos"));
  CHECK(one_line_with(refused({"--groups", "all", "--rhos", "0.5"}), "--rhos: has no effect"));
  CHECK(one_line_with(refused({"--groups", "value_norm", "--router", "shared"}), "--router"));
  CHECK(one_line_with(refused({"--fill", "mean"}), "--fill-rank: has no effect"));
  CHECK(one_line_with(refused({"--gate", "sigmoid"}), "--gate: has no effect"));
  // The model has 512 positions.
  CHECK(one_line_with(refused({"--prefix", "505"}), "--prefix: makes sequences"));
  CHECK(one_line_with(refused({"--calibrate-at", "512"}), "--calibrate-at: makes texts"));
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("what a killed adapt left of two runs is not taken for one") {
  const temp_folder folder;
  const std::string text = folder.write("t", some_text());
  const auto made = [&](const char* name, const char* seed, const char* rank) {
    const std::string out = folder.path() + "/" + name;
    std::ostringstream ignored;
    adapt(parsed({"--text", text, "--out", out, "--seed", seed, "--rank", rank}), ignored);
    return out;
  };
  const auto said = [&](const std::string& out) {
    return error_of([&] { static_cast<void>(load_adapted(micro, out)); });
  };
  const std::string one = made("one", "1", "4"), other = made("other", "2", "4");
  CHECK(said(one).empty());
  std::filesystem::copy_file(other + "/value_routing.safetensors",
                             one + "/value_routing.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(one_line_with(said(one), "another run"));
  made("one", "1", "0");  // without adapters: those of before go
  CHECK(said(one).empty());
  CHECK_FALSE(std::filesystem::exists(one + "/adapter_model.safetensors"));
}

TEST_CASE("the help of adapt has its options in groups, with their defaults") {
  const char* const help[] = {"adapt", "--help"};
  const char* const version[] = {"adapt", "--version"};
  const auto said = [](const char* const* words) {
    try {
      parse_adapt_options(2, words);
    } catch (const help_wanted& wanted) {
      return std::string(wanted.what());
    }
    return std::string();
  };
  for (const char* part : {"Files", "Adapters", "Value groups", "Sequences", "Training",
                           "--fill-rank", "[adaptive_span]", "[1,0.75,0.5,0.375,0.25,0.125]"})
    CHECK(said(help).find(part) != std::string::npos);
  CHECK(said(version).find("adapt of Rota ") == 0);
}

TEST_CASE("adapt writes what evaluate's model reads, and refuses the state of another run") {
  const temp_folder folder;
  const std::string text = folder.write("t", some_text()), out = folder.path() + "/out",
                    state = folder.path() + "/state", json = folder.path() + "/course.json";
  const std::vector<std::string> words = {"--text",  text,  "--out",  out,
                                          "--state", state, "--json", json};
  std::ostringstream shown;
  adapt(parsed(words), shown);
  CHECK(shown.str().find("numbers trained") != std::string::npos);
  CHECK(json::parse(read_text(json))["looks"].size() == 1);
  const adapted_model a = load_adapted(micro, out);
  CHECK(a.routing.rule == group_rule::adaptive_span);
  CHECK(a.routing.thresholds.size() == 5);  // all but rho 1
  for (std::size_t i = 1; i < a.routing.thresholds.size(); ++i)
    CHECK(a.routing.thresholds[i].threshold >= a.routing.thresholds[i - 1].threshold);
  std::vector<std::string> other = words;
  other.insert(other.end(), {"--seed", "2"});
  CHECK(one_line_with(refusal(other), state));
}

TEST_CASE("an adapted model in any basis has the logits of the one it was made of") {
  for (const char* basis : {"identity", "hadamard", "random", "pca"}) {
    const temp_folder folder;
    const std::string text = folder.write("t", some_text()), out = folder.path() + "/out";
    const adapt_options o =
        parsed({"--text", text, "--out", out, "--basis", basis, "--warmup", "0"});
    adaptation a(o);
    std::ostringstream ignored;
    a.run(ignored);
    CAPTURE(basis);
    const adapted_model turned = load_adapted(micro, out);
    std::filesystem::remove(out + "/value_routing.safetensors");
    const adapted_model plain = load_adapted(micro, out);  // adapters alone, values as they were
    const matrix one = logits_of(turned.lm), other = logits_of(plain.lm);
    const float size = one.cwiseAbs().maxCoeff();
    CHECK((one - other).cwiseAbs().maxCoeff() < 1e-4f * size);
    CHECK((one - logits_of(model::load(micro))).cwiseAbs().maxCoeff() > 1e-4f * size);
  }
}

TEST_CASE("a value routing file is refused where it is not for the model, or not whole") {
  const temp_folder folder;
  const model_config c = load_config(micro);
  const std::string text = folder.write("t", some_text()), out = folder.path() + "/out",
                    path = out + "/value_routing.safetensors";
  std::ostringstream ignored;
  adapt(parsed({"--text", text, "--out", out}), ignored);
  const std::string good = read_text(path);
  const auto refused = [&](const std::string& contents) {
    folder.write("bad", contents);
    return error_of([&] { load_value_routing(folder.path() + "/bad", c); });
  };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string s = good;
    const std::size_t at = s.find(from);
    REQUIRE(at != std::string::npos);
    REQUIRE(from.size() == to.size());  // the header's length stays true
    return s.replace(at, from.size(), to);
  };
  CHECK(error_of([&] { load_value_routing(path, c); }).empty());
  CHECK(one_line_with(refused(changed("rota.value_routing.1", "rota.value_routing.2")), "format"));
  CHECK(one_line_with(refused(changed("adaptive_span", "adaptive_soap")), "rule"));
  CHECK(one_line_with(refused(changed("\"layers\":\"2\"", "\"layers\":\"3\"")), "another model"));
  CHECK(
      one_line_with(refused(changed("\"group_width\":\"8\"", "\"group_width\":\"7\"")), "groups"));
  CHECK(one_line_with(refused(changed("\"fill_rank\":\"4\"", "\"fill_rank\":\"3\"")), "fill"));
  CHECK(one_line_with(refused(changed("router.bias", "router.bios")), "router.bias"));
  CHECK(one_line_with(refused(good.substr(0, good.size() - 1)), "bad"));
  CHECK(one_line_with(refused(good.substr(0, 40)), "bad"));
  std::string nan = good;
  for (std::size_t i = nan.size() - 64; i < nan.size(); ++i) nan[i] = '\xff';
  CHECK(one_line_with(refused(nan), "not finite"));
  model_config other = c;
  other.hidden_size = 32;
  CHECK(one_line_with(error_of([&] { load_value_routing(path, other); }), "hidden"));
}

TEST_CASE("evaluate asks for an adapter where a method is the adapted model's") {
  const auto parse = [](std::vector<const char*> more) {
    std::vector<const char*> words = {"evaluate", "--model", micro.c_str()};
    words.insert(words.end(), more.begin(), more.end());
    return error_of([&] { eval::parse_options(static_cast<int>(words.size()), words.data()); });
  };
  CHECK(one_line_with(parse({"--methods", "adapted"}), "--adapter"));
  CHECK(one_line_with(parse({"--methods", "dense", "--rhos", "1.5"}), "--rhos"));
  CHECK(parse({"--methods", "adapted", "--adapter", "x", "--rhos", "0.5"}).empty());
}
