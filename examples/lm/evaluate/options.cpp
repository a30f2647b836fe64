#include "evaluate/options.hpp"

#include <algorithm>
#include <utility>

#include <source_dir.hpp>

#include <rota/core/types.hpp>

#include "engine/error.hpp"
#include "engine/name_option.hpp"

namespace rota_lm::eval {
namespace {

bool is_named(const method& m, const char* first, const char* second) {
  return m.name == first || m.name == second;
}

fallback_choice parse_fallback(const std::string& name) {
  const method m = parse_method(name, {}, {}, {}, "--fallback");
  if (!m.both() || m.uses_predictor() || m.uses_oracle()) {
    fail("--fallback", "\"" + printable(name, 80) + "\" is not a stock token and group selector");
  }
  return {*m.tokens, *m.groups};
}

}  // namespace

option_reader::option_reader(command_line& line, tasks which) : line_(line) {
  line_.group("Model");
  line_.text("model", options_.model, "Folder of a checkpoint in the Hugging Face format");
  line_.text("adapter", options_.adapter, "Folder that adapt wrote; methods may name adapted");
  line_.text("predictor", options_.predictor, "File of fit_predictor; methods may name it");
  if (which == tasks::by_name) {
    line_.flag("demo", options_.demo, "The defaults on rota-synth, written to build/demo");
    declare_tasks();
  }
  declare_methods();
  declare_protocol();
  line_.group("Results");
  line_.text("json", options_.json, "File for the rows as JSON");
  line_.text("out", options_.out, "Folder for the rows as JSON and the pictures");
}

void option_reader::declare_tasks() {
  line_.group("Tasks");
  line_.texts("tasks", task_names_,
              "Synthetic ones, all but market unless a file is given: " + list_names(task_names));
  line_.text("text", options_.files.text, "Raw text: strided perplexity");
  line_.count("stride", options_.files.stride, 1, 1 << 20, "Tokens of --text scored a window");
  line_.text("mmlu", options_.files.mmlu, "Folder in MMLU's form");
  line_.count("shots", options_.files.shots, 0, 1000,
              "Solved examples before a question of --mmlu");
  line_.texts("ruler", options_.files.ruler, "Files in RULER's form");
  line_.count("new-tokens", options_.files.new_tokens, 1, 4096,
              "Tokens written where a line of --ruler does not say how many");
  line_.count("context", options_.context, 128, 1 << 20,
              "Tokens of the contexts of synthetic tasks and --text; less by default where the "
              "model has fewer positions");
  line_.need("stride", "text");
  line_.need("shots", "mmlu");
  line_.need("new-tokens", "ruler");
}

void option_reader::declare_methods() {
  line_.group("Methods");
  line_.texts("methods", method_names_,
              "dense, token_only, subtoken_only, token_x_subtoken, quest, adapted or "
              "SCORER:BUDGET[+SCORER:BUDGET[@RHO]], - before the + for every token");
  name_option(line_, "token-scorer", token_scorer_names, options_.tokens.scorer,
              "Of token_only and token_x_subtoken");
  name_option(line_, "token-budget", budget_names, options_.tokens.rule,
              "Of token_only and token_x_subtoken");
  name_option(line_, "group-scorer", group_scorer_names, options_.groups.scorer,
              "Of subtoken_only and token_x_subtoken");
  name_option(line_, "group-budget", budget_names, options_.groups.rule,
              "Of subtoken_only (keep_ratio unless given) and token_x_subtoken");
  line_.text("fallback", fallback_,
             "SCORER:BUDGET+SCORER:BUDGET for the layers up to the predictor's split");
  line_.numbers("budgets", options_.budgets, 0, 1, "Shares of the dense bytes");
  line_.numbers("every-token-budgets", options_.every_token_budgets, 0, 1,
                "Shares of the dense bytes for methods that keep every token");
  line_.number("rho", options_.rho, 0, 1, "Share of the survivors' groups that is kept");
  line_.numbers("rhos", options_.rhos, 0, 1, "Shares of the groups for adapted");
  name_option(line_, "fill", fill_names, options_.stand_in, "What stands in for dropped groups");
  line_.word(
      "group-width", "16, or 8 where heads are narrower than 64",
      [this](const std::string& word) {
        if (word != "8" && word != "16") fail("--group-width", "must be 8 or 16");
        options_.group_width = word == "8" ? 8 : 16;
      },
      "Elements of a value group: 8 or 16");
  line_.need("rhos", "adapter");
}

void option_reader::declare_protocol() {
  line_.group("Protocol");
  name_option(line_, "protocol", protocol_names, options_.when,
              "Whether the question is seen while compressing");
  line_.count("samples", options_.samples, 1, 1'000'000, "Samples of each task");
  line_.count("seed", options_.seed, 0, 1'000'000'000, "Of the samples and the intervals");
  line_.count("sinks", options_.sinks, 0, 1 << 20, "First tokens that are kept whole");
  line_.count("window", options_.window, 1, 1 << 20, "Last tokens that are kept whole");
  line_.count("threads", options_.threads, 1, 256, "Samples at a time");
  name_option(line_, "timing", switch_names, options_.timing, "Whether rows are timed");
}

options option_reader::read() {
  options& o = options_;
  o.context_given = line_.knows("context") && line_.given("context");
  if (o.demo) fill_in_demo();
  if (o.model.empty()) fail("--model", "is required: the folder of a checkpoint");
  o.every_token_groups.scorer = o.groups.scorer;
  if (line_.given("group-budget")) o.every_token_groups.rule = o.groups.rule;
  read_tasks();
  read_methods();
  refuse_unused();
  return o;
}

void option_reader::fill_in_demo() {
  options& o = options_;
  const std::string own =
      std::string(rota_own::source_dir()) + "/examples/lm/checkpoints/rota-synth";
  if (o.model.empty()) o.model = own;
  if (o.out.empty()) o.out = "build/demo";
  if (o.model != own || !o.predictor.empty()) return;
  // Each protocol has a predictor of its own.
  o.predictor =
      own + (o.when == protocol::seen ? "/predictor.safetensors" : "/predictor_unseen.safetensors");
}

void option_reader::read_tasks() {
  if (!line_.knows("tasks")) return;
  if (task_names_.empty() && !options_.files.any()) {
    task_names_ = {"perplexity", "needle", "vartrack", "choice"};
  }
  for (const std::string& name : task_names_) {
    options_.tasks.push_back(value_of(task_names, name, "--tasks"));
  }
}

void option_reader::read_methods() {
  options& o = options_;
  if (method_names_.empty()) {
    method_names_ = {"dense", "token_only", "subtoken_only", "token_x_subtoken"};
    if (!o.predictor.empty())
      method_names_.emplace_back("predictor:keep_ratio+value_norm:fixed_k@0.75");
  }
  for (const std::string& name : method_names_) {
    o.methods.push_back(parse_method(name, o.tokens, o.groups, o.every_token_groups, "--methods"));
  }
  for (const method& m : o.methods) {
    if (m.adapted && o.adapter.empty()) fail("--adapter", "is required for \"adapted\"");
    if (m.uses_predictor() && o.predictor.empty()) {
      fail("--predictor", "is required for \"" + printable(m.name, 80) + "\"");
    }
  }
  if (!fallback_.empty()) o.fallback = parse_fallback(fallback_);
}

bool option_reader::any_method(bool (*asks)(const method&)) const {
  return std::any_of(options_.methods.begin(), options_.methods.end(), asks);
}

/// An option that changes nothing is a mistake that nobody would see in the results.
void option_reader::refuse_unused() const {
  const auto refuse = [&](const char* option, bool used, const char* user) {
    if (line_.given(option) && !used) {
      fail(std::string("--") + option,
           std::string("is read by ") + user + " alone, and --methods names none of that kind");
    }
  };
  const bool tokens =
      any_method([](const method& m) { return is_named(m, "token_only", "token_x_subtoken"); });
  const bool groups =
      any_method([](const method& m) { return is_named(m, "subtoken_only", "token_x_subtoken"); });
  refuse("token-scorer", tokens, "token_only and token_x_subtoken");
  refuse("token-budget", tokens, "token_only and token_x_subtoken");
  refuse("group-scorer", groups, "subtoken_only and token_x_subtoken");
  refuse("group-budget", groups, "subtoken_only and token_x_subtoken");
  const bool predictor = any_method([](const method& m) { return m.uses_predictor(); });
  refuse("predictor", predictor, "methods with a predictor");
  refuse("fallback", predictor, "methods with a predictor");
  refuse("every-token-budgets", any_method([](const method& m) { return m.groups && !m.tokens; }),
         "methods that keep every token");
  refuse("rhos", any_method([](const method& m) { return m.adapted; }), "adapted");
}

options parse_options(int argc, const char* const* argv, const std::string& program) {
  command_line line(program,
                    "What compression of the KV cache costs in quality, at measured bytes");
  option_reader reader(line);
  line.parse(argc, argv);
  return reader.read();
}

options for_model(options o, std::size_t max_positions) {
  if (!o.context_given && max_positions != 0 && o.context >= max_positions) {
    o.context = max_positions / 2;
  }
  return o;
}

int group_width_of(const options& o, std::size_t head_dim) {
  if (o.group_width != 0) return o.group_width;
  return head_dim >= 64 && head_dim % 16 == 0 ? 16 : 8;
}

void check_group_width(std::size_t head_dim, int width) {
  const auto w = static_cast<std::size_t>(width);
  const std::size_t most = w * static_cast<std::size_t>(rota::max_groups);
  if (head_dim % w == 0 && head_dim <= most) return;
  fail("config.json: head_dim", "heads of " + std::to_string(head_dim) +
                                    " cannot be packed in groups of " + std::to_string(width) +
                                    ": groups of 8 take multiples of 8 up to 128, groups of 16 "
                                    "multiples of 16 up to 256");
}

}  // namespace rota_lm::eval
