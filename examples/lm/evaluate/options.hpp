// The command line of evaluate.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/arguments.hpp"
#include "engine/error.hpp"
#include "evaluate/method.hpp"
#include "generator.hpp"

namespace rota_lm::eval {

/// Whether the question is there when the cache is compressed. Two different problems, never mixed.
enum class protocol { seen, unseen };
inline constexpr std::array protocol_names{named<protocol>{"seen", protocol::seen},
                                           named<protocol>{"unseen", protocol::unseen}};
inline constexpr std::array switch_names{named<bool>{"on", true}, named<bool>{"off", false}};
inline constexpr std::array task_names{named<synth::task>{"perplexity", synth::task::text},
                                       named<synth::task>{"needle", synth::task::needle},
                                       named<synth::task>{"vartrack", synth::task::vartrack},
                                       named<synth::task>{"choice", synth::task::choice},
                                       named<synth::task>{"market", synth::task::market}};

/// Tasks that lie in files, in the forms that others use; see evaluate/formats.
struct task_files {
  std::string text;                ///< raw text; empty: none
  std::size_t stride = 256;        ///< tokens scored a window
  std::string mmlu;                ///< folder; empty: none
  std::size_t shots = 5;           ///< solved examples before a question
  std::vector<std::string> ruler;  ///< JSON lines
  std::size_t new_tokens = 64;     ///< written where a sample does not say how many

  bool any() const { return !text.empty() || !mmlu.empty() || !ruler.empty(); }
};

struct options {
  std::string model;
  std::vector<synth::task> tasks;  ///< synthetic ones
  task_files files;
  std::vector<method> methods;
  // Chosen on rota-synth: of the stock scorers these lose least at equal bytes, and the best k of
  // each token less than the best pairs of each head. A scorer that knows the question
  // (attention_mass, question seen) keeps the first token of an answer and drops the next: what
  // the window looks at is not yet what the answer will look at.
  token_choice tokens;
  group_choice groups;
  /// Where every token survives, the groups must be solved from bytes, and k is too coarse.
  group_choice every_token_groups{group_scorer::value_norm, budget::keep_ratio};
  std::string predictor;  ///< file of fit_predictor; empty: none
  std::string adapter;    ///< folder of adapt; empty: none
  /// Of the layers up to the predictor's split.
  fallback_choice fallback;
  std::vector<double> budgets;
  std::vector<double> every_token_budgets;
  std::vector<double> rhos;  ///< of an adapted model's own routing
  double rho = 0.5;
  fill stand_in = fill::mean;
  int group_width = 0;  ///< 0: 16, or 8 where heads are narrower than 64
  std::size_t samples = 200;
  std::uint64_t seed = 1;
  std::size_t context = 1024;
  std::size_t sinks = 4;
  std::size_t window = 16;
  /// Unseen: none of the default selectors knows the question, so to see it changes little more
  /// than which tokens are protected; and one compressed context then serves every question.
  protocol when = protocol::unseen;
  int threads = 2;
  std::string json;  ///< file; empty: none
  std::string out;   ///< folder for results.json and the pictures; empty: none
  bool timing = true;
  bool demo = false;
};

inline constexpr std::string_view usage =
    "evaluate --model DIR [--tasks perplexity,needle,vartrack,choice,market]\n"
    "  [--text FILE [--stride 256]] [--mmlu DIR [--shots 5]] [--ruler FILE,... [--new-tokens 64]]\n"
    "  [--methods "
    "dense,token_only,subtoken_only,token_x_subtoken,SCORER:BUDGET[+SCORER:BUDGET[@RHO]]]\n"
    "  [--token-scorer NAME] [--token-budget NAME] [--group-scorer NAME] [--group-budget NAME]\n"
    "  [--adapter DIR: of adapt; methods may name adapted [--rhos 1,0.75,0.5,0.375,0.25,0.125]]\n"
    "  [--predictor FILE: methods may name it] [--fallback SCORER:BUDGET+SCORER:BUDGET]\n"
    "  [--budgets 0.75,0.5,0.375,0.25] [--every-token-budgets 0.75,0.5625] [--rho 0.5]\n"
    "  [--fill zero|mean] [--group-width 8|16] [--samples 200] [--seed 1] [--context 1024]\n"
    "  [--sinks 4] [--window 16] [--protocol seen|unseen] [--threads 2]\n"
    "  [--timing on|off] [--json FILE] [--out DIR] [--demo]\n";

namespace detail {

inline std::vector<std::string> split(const std::string& text, const std::string& where) {
  std::vector<std::string> out;
  for (std::size_t at = 0;;) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, comma - at));
    if (out.back().empty()) fail(where, "\"" + printable(text, 80) + "\" has an empty entry");
    if (std::count(out.begin(), out.end(), out.back()) > 1) {
      fail(where, "names \"" + printable(out.back(), 40) + "\" twice");
    }
    if (comma == text.size()) return out;
    at = comma + 1;
  }
}

inline std::vector<double> ratios(const std::string& text, const std::string& where) {
  std::vector<double> out;
  for (const std::string& word : split(text, where)) out.push_back(ratio(word, where));
  return out;
}

/// The given value of an option, or what stands in for it.
inline std::string text_or(const arguments& given, const std::string& name, const char* otherwise) {
  return given.has(name) ? given.text(name) : otherwise;
}

inline void read_selectors(const arguments& given, options& o) {
  const auto named_by = [&](const auto& table, const char* option, auto& value) {
    if (given.has(option)) {
      value = value_of(table, given.text(option), std::string("--") + option);
    }
  };
  named_by(token_scorer_names, "token-scorer", o.tokens.scorer);
  named_by(budget_names, "token-budget", o.tokens.rule);
  named_by(group_scorer_names, "group-scorer", o.groups.scorer);
  named_by(budget_names, "group-budget", o.groups.rule);
  o.every_token_groups.scorer = o.groups.scorer;
  if (given.has("group-budget")) o.every_token_groups.rule = o.groups.rule;
  named_by(fill_names, "fill", o.stand_in);
  named_by(protocol_names, "protocol", o.when);
  named_by(switch_names, "timing", o.timing);
}

inline fallback_choice parse_fallback(const std::string& name) {
  const method m = parse_method(name, {}, {}, {}, "--fallback");
  if (!m.both() || m.uses_predictor() || m.uses_oracle()) {
    fail("--fallback", "\"" + printable(name, 80) + "\" is not a stock token and group selector");
  }
  return {*m.tokens, *m.groups};
}

/// The synthetic tasks stand in where none is named.
inline void read_tasks(const arguments& given, options& o) {
  if (given.has("text")) o.files.text = given.text("text");
  if (given.has("mmlu")) o.files.mmlu = given.text("mmlu");
  if (given.has("ruler")) o.files.ruler = split(given.text("ruler"), "--ruler");
  o.files.stride = given.count("stride", o.files.stride, 1, 1 << 20);
  o.files.shots = given.count("shots", o.files.shots, 0, 1000);
  o.files.new_tokens = given.count("new-tokens", o.files.new_tokens, 1, 4096);
  if (o.files.any() && !given.has("tasks")) return;
  for (const std::string& name :
       split(text_or(given, "tasks", "perplexity,needle,vartrack,choice"), "--tasks")) {
    o.tasks.push_back(value_of(task_names, name, "--tasks"));
  }
}

inline void read_lists(const arguments& given, options& o) {
  const char* const usual = "dense,token_only,subtoken_only,token_x_subtoken";
  const char* const with_predictor =
      "dense,token_only,subtoken_only,token_x_subtoken,"
      "predictor:keep_ratio+value_norm:fixed_k@0.75";
  const std::string methods =
      text_or(given, "methods", o.predictor.empty() ? usual : with_predictor);
  for (const std::string& name : split(methods, "--methods")) {
    o.methods.push_back(parse_method(name, o.tokens, o.groups, o.every_token_groups, "--methods"));
  }
  if (given.has("fallback")) o.fallback = parse_fallback(given.text("fallback"));
  o.rhos = ratios(text_or(given, "rhos", "1,0.75,0.5,0.375,0.25,0.125"), "--rhos");
  for (const method& m : o.methods) {
    if (m.adapted && o.adapter.empty()) fail("--adapter", "is required for \"adapted\"");
    if (m.uses_predictor() && o.predictor.empty()) {
      fail("--predictor", "is required for \"" + printable(m.name, 80) + "\"");
    }
  }
  o.budgets = ratios(text_or(given, "budgets", "0.75,0.5,0.375,0.25"), "--budgets");
  o.every_token_budgets =
      ratios(text_or(given, "every-token-budgets", "0.75,0.5625"), "--every-token-budgets");
}

inline void read_numbers(const arguments& given, options& o) {
  o.rho = ratio(text_or(given, "rho", "0.5"), "--rho");
  o.group_width = static_cast<int>(given.count("group-width", 0, 8, 16));
  if (o.group_width != 0 && o.group_width != 8 && o.group_width != 16) {
    fail("--group-width", "must be 8 or 16");
  }
  o.samples = given.count("samples", o.samples, 1, 1'000'000);
  o.seed = given.count("seed", o.seed, 0, 1'000'000'000);
  o.context = given.count("context", o.context, 128, 1 << 20);
  o.sinks = given.count("sinks", o.sinks, 0, 1 << 20);
  o.window = given.count("window", o.window, 1, 1 << 20);
  o.threads = static_cast<int>(given.count("threads", 2, 1, 256));
}

}  // namespace detail

/// Parses a command line. Throws rota_lm::error on anything unknown or out of range.
/// The demo is the defaults on the repository's own checkpoint, with everything written to a
/// folder.
inline options parse_options(int argc, const char* const* argv) {
  std::vector<const char*> pairs;
  options o;
  for (int i = 0; i < argc; ++i) {
    if (i > 0 && std::string_view(argv[i]) == "--demo") {
      o.demo = true;
    } else {
      pairs.push_back(argv[i]);
    }
  }
  const arguments given(
      static_cast<int>(pairs.size()), pairs.data(),
      {"model",   "tasks",        "methods",      "token-scorer", "token-budget",
       "fill",    "group-scorer", "group-budget", "budgets",      "every-token-budgets",
       "rho",     "group-width",  "samples",      "seed",         "context",
       "sinks",   "window",       "protocol",     "threads",      "json",
       "timing",  "out",          "predictor",    "fallback",     "text",
       "stride",  "mmlu",         "shots",        "ruler",        "new-tokens",
       "adapter", "rhos"});
  const std::string own = std::string(ROTA_SOURCE_DIR) + "/examples/lm/checkpoints/rota-synth";
  o.model = o.demo && !given.has("model") ? own : given.text("model");
  o.out = detail::text_or(given, "out", o.demo ? "build/demo" : "");
  if (given.has("json")) o.json = given.text("json");
  if (given.has("predictor")) o.predictor = given.text("predictor");
  if (given.has("adapter")) o.adapter = given.text("adapter");
  detail::read_selectors(given, o);
  // Each protocol has a predictor of its own.
  if (o.demo && o.model == own && o.predictor.empty()) {
    o.predictor = own + (o.when == protocol::seen ? "/predictor.safetensors"
                                                  : "/predictor_unseen.safetensors");
  }
  detail::read_tasks(given, o);
  detail::read_lists(given, o);
  detail::read_numbers(given, o);
  return o;
}

}  // namespace rota_lm::eval
