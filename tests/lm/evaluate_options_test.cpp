// The command line: what is meant, and what is refused.
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "evaluate/options.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm::eval;

options parse(std::vector<const char*> words) {
  words.insert(words.begin(), "evaluate");
  return parse_options(static_cast<int>(words.size()), words.data());
}

bool refused(const std::vector<const char*>& words, const char* part) {
  const std::string message = rota_lm_test::error_of([&] { parse(words); });
  CAPTURE(message);
  return !message.empty() && rota_lm_test::one_line_with(message, part);
}

}  // namespace

TEST_CASE("the demo is the defaults on our own checkpoint") {
  const options o = parse({"--demo"});
  CHECK(o.demo);
  CHECK(o.model == std::string(rota_own::source_dir()) + "/examples/lm/checkpoints/rota-synth");
  CHECK(o.samples == 200);
  CHECK(o.context == 1024);
  CHECK(o.out == "build/demo");
  std::vector<std::string> titles;
  for (const row_spec& r : list_rows(o.methods, o.budgets, o.every_token_budgets)) {
    titles.push_back(r.title());
  }
  CHECK(titles ==
        std::vector<std::string>{
            "no_context", "dense", "token_only at 0.75", "token_only at 0.5", "token_only at 0.375",
            "token_only at 0.25", "subtoken_only at 0.75", "subtoken_only at 0.5625",
            "token_x_subtoken at 0.75", "token_x_subtoken at 0.5", "token_x_subtoken at 0.375",
            "token_x_subtoken at 0.25", "predictor:keep_ratio+value_norm:fixed_k@0.75 at 0.75",
            "predictor:keep_ratio+value_norm:fixed_k@0.75 at 0.5",
            "predictor:keep_ratio+value_norm:fixed_k@0.75 at 0.375",
            "predictor:keep_ratio+value_norm:fixed_k@0.75 at 0.25"});
  CHECK(parse({"--demo", "--model", "x", "--out", "y", "--samples", "3"}).samples == 3);
}

TEST_CASE("methods by name") {
  const options o = parse({"--model", "x", "--methods",
                           "token_x_subtoken,key_norm:fixed_k,value_norm:adaptive_span,"
                           "window_sink:keep_ratio+attention_mass:global_top_m",
                           "--token-scorer", "key_norm", "--group-budget", "fixed_k"});
  REQUIRE(o.methods.size() == 4);
  CHECK(describe(o.methods[0].tokens) == "key_norm:keep_ratio");
  CHECK(o.methods[0].groups->rule == budget::fixed_k);
  CHECK(describe(o.methods[1].tokens) == "key_norm:fixed_k");
  CHECK(describe(o.methods[1].groups) == "-");
  CHECK(describe(o.methods[2].groups) == "value_norm:adaptive_span");
  CHECK_FALSE(o.methods[2].tokens);
  CHECK(describe(o.methods[3].tokens) == "window_sink:keep_ratio");
  CHECK(describe(o.methods[3].groups) == "attention_mass:global_top_m");
}

TEST_CASE("tasks in files take the place of the synthetic ones, or stand beside them") {
  const options o = parse({"--model", "x", "--mmlu", "folder", "--ruler", "a.jsonl,b.jsonl"});
  CHECK(o.tasks.empty());
  CHECK(o.files.mmlu == "folder");
  CHECK(o.files.shots == 5);
  CHECK(o.files.ruler == std::vector<std::string>{"a.jsonl", "b.jsonl"});
  const options both = parse({"--model", "x", "--text", "t", "--stride", "9", "--tasks", "choice"});
  CHECK(both.tasks.size() == 1);
  CHECK(both.files.stride == 9);
}

TEST_CASE("bad options are refused in one line that names them") {
  CHECK(refused({}, "--model: is required"));
  CHECK(refused({"--model"}, "--model"));
  CHECK(refused({"--model", ""}, "--model: is empty"));
  CHECK(refused({"--model", "x", "--json", ""}, "--json: is empty"));
  CHECK(refused({"--model", "x", "--out", ""}, "--out: is empty"));
  CHECK(refused({"--model", "x", "--modle", "y"}, "--modle"));
  CHECK(refused({"--model", "x", "--tasks", "needle,poetry"}, "poetry"));
  CHECK(refused({"--model", "x", "--tasks", "needle,,choice"}, "empty entry"));
  CHECK(refused({"--model", "x", "--tasks", "needle,needle"}, "twice"));
  CHECK(refused({"--model", "x", "--methods", "best"}, "--methods"));
  CHECK(refused({"--model", "x", "--methods", "key_norm"}, "--methods"));
  CHECK(refused({"--model", "x", "--methods", "key_norm:enough"}, "enough"));
  CHECK(refused({"--model", "x", "--methods", "key_norm:fixed_k+window_sink:fixed_k"},
                "- before the + for every token"));
  CHECK(refused({"--model", "x", "--token-scorer", "value_norm"}, "--token-scorer"));
  CHECK(refused({"--model", "x", "--group-scorer", "key_norm"}, "--group-scorer"));
  CHECK(refused({"--model", "x", "--budgets", "0.5,1.5"}, "1.5"));
  CHECK(refused({"--model", "x", "--budgets", "half"}, "half"));
  CHECK(refused({"--model", "x", "--budgets", "nan"}, "nan"));
  CHECK(refused({"--model", "x", "--rho", "-0.1"}, "--rho"));
  CHECK(refused({"--model", "x", "--samples", "0"}, "--samples"));
  CHECK(refused({"--model", "x", "--samples", "1e3"}, "--samples"));
  CHECK(refused({"--model", "x", "--context", "99999999999999999999"}, "--context"));
  CHECK(refused({"--model", "x", "--protocol", "both"}, "--protocol"));
  CHECK(refused({"--model", "x", "--fill", "low_rank"}, "--fill"));
  CHECK(refused({"--model", "x", "--group-width", "12"}, "--group-width"));
  CHECK(refused({"--model", "x", "--threads", "0"}, "--threads"));
  CHECK(refused({"--model", "x", "--stride", "0"}, "--stride"));
  CHECK(refused({"--model", "x", "--ruler", "a,a"}, "twice"));
  CHECK(refused({"--model", "x", "--new-tokens", "5000"}, "--new-tokens"));
  CHECK(refused({"--model", "x", "--samples", "2", "--samples", "3"}, "--samples"));
  CHECK(refused({"--model", "x", "--budgets", "0.5,0.50"}, "twice"));
  CHECK(refused({"--model", "x", "--adapter", "a", "--methods", "adapted", "--rhos", "1,1"},
                "twice"));
}

TEST_CASE("an option that changes nothing is refused") {
  CHECK(refused({"--model", "x", "--stride", "9"}, "--text"));
  CHECK(refused({"--model", "x", "--shots", "9"}, "--mmlu"));
  CHECK(refused({"--model", "x", "--new-tokens", "9"}, "--ruler"));
  CHECK(refused({"--model", "x", "--rhos", "0.5"}, "--adapter"));
  CHECK(refused({"--model", "x", "--adapter", "a", "--rhos", "0.5"}, "--rhos"));
  CHECK(refused({"--model", "x", "--methods", "dense", "--token-budget", "fixed_k"},
                "--token-budget"));
  CHECK(refused({"--model", "x", "--methods", "token_only", "--group-scorer", "wo_norm"},
                "--group-scorer"));
  CHECK(refused({"--model", "x", "--methods", "token_only", "--predictor", "p"}, "--predictor"));
  CHECK(refused({"--model", "x", "--methods", "token_only", "--every-token-budgets", "0.6"},
                "--every-token-budgets"));
}

TEST_CASE("budgets of the layer and the head have names too") {
  const options o = parse({"--model", "x", "--methods",
                           "key_norm:head_adaptive+value_norm:head_adaptive,tova:pyramid"});
  CHECK(describe(o.methods[0].tokens) == "key_norm:head_adaptive");
  CHECK(describe(o.methods[0].groups) == "value_norm:head_adaptive");
  CHECK(describe(o.methods[1].tokens) == "tova:pyramid");
}

TEST_CASE("a context that nobody asked for shrinks to the model") {
  CHECK(for_model(parse({"--model", "x"}), 512).context == 256);
  CHECK(for_model(parse({"--model", "x"}), 2048).context == 1024);
  CHECK(for_model(parse({"--model", "x"}), 0).context == 1024);
  CHECK(for_model(parse({"--model", "x", "--context", "1024"}), 512).context == 1024);
}

TEST_CASE("heads that no packed store cuts are refused by their size, the others get a width") {
  const options o;
  for (const std::size_t size : {8, 24, 40, 72, 128, 256}) {
    CAPTURE(size);
    check_group_width(size, group_width_of(o, size));
  }
  for (const std::size_t size : {20, 100, 136, 512}) {
    CAPTURE(size);
    const std::string said =
        rota_lm_test::error_of([&] { check_group_width(size, group_width_of(o, size)); });
    CHECK(rota_lm_test::one_line_with(said, "heads of " + std::to_string(size)));
  }
}

TEST_CASE("help and version are texts for standard output") {
  const auto shown = [](const char* option) -> std::string {
    try {
      parse({option});
    } catch (const rota_lm::help_wanted& help) {
      return help.what();
    }
    return {};
  };
  const std::string help = shown("--help");
  for (const char* part : {"--methods", "--budgets", "Protocol", "pyramid", "[1024]"}) {
    CAPTURE(part);
    CHECK(help.find(part) != std::string::npos);
  }
  CHECK(shown("--version").starts_with("evaluate of Rota "));
}
