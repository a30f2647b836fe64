// Tasks in the forms that others use: CSV, MMLU folders, RULER lines, raw text in windows.
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>
#include <source_dir.hpp>

#include "engine/json.hpp"
#include "evaluate/answer.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/formats/csv.hpp"
#include "evaluate/formats/mmlu.hpp"
#include "evaluate/formats/ruler.hpp"
#include "evaluate/formats/text_windows.hpp"
#include "evaluate/json_report.hpp"
#include "evaluate/prefill.hpp"
#include "evaluate/program.hpp"
#include "evaluate/table.hpp"
#include "evaluate/task_list.hpp"
#include "micro_folder.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm::eval;
using rota_lm::model;
using rota_lm::tokenizer;
using rota_lm_test::error_of;
using rota_lm_test::long_micro;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

const std::string files = std::string(rota_own::source_dir()) + "/tests/lm/formats";

std::vector<std::string> fields_of(const std::string& line) {
  return parse_csv(line, "f.csv").at(0).fields;
}

/// The micro model and its tokenizer, and the options of a short run.
struct setting {
  options o;
  model lm = model::load(long_micro());
  tokenizer text = tokenizer::load(long_micro());

  setting() {
    const char* words[] = {"evaluate",  "--model", long_micro().c_str(), "--context", "256",
                           "--samples", "4",       "--timing",           "off"};
    o = parse_options(static_cast<int>(std::size(words)), words);
  }
};

}  // namespace

TEST_CASE("CSV: quotes hold commas, line ends and quotes") {
  using fields = std::vector<std::string>;
  CHECK(fields_of("a,b,c") == fields{"a", "b", "c"});
  CHECK(fields_of("a,,") == fields{"a", "", ""});
  CHECK(fields_of("\"a,b\",\"c \"\"d\"\"\",\"\"\n") == fields{"a,b", "c \"d\"", ""});
  CHECK(fields_of("\xef\xbb\xbf"
                  "a,b\r\n") == fields{"a", "b"});
  const auto rows = parse_csv("1,\"two\nlines\"\r\n2,b\n\n3,c", "f.csv");
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].fields == fields{"1", "two\nlines"});
  CHECK(rows[1].where == "f.csv:3");
  CHECK(rows[2].fields == fields{""});
  CHECK(rows[3].where == "f.csv:5");
  CHECK(parse_csv("", "f.csv").empty());
}

TEST_CASE("CSV that is none is refused with file and line") {
  const auto refused = [](const std::string& text, const char* line, const char* why) {
    const std::string said = error_of([&] { parse_csv(text, "f.csv"); });
    CAPTURE(said);
    CHECK(one_line_with(said, why));
    CHECK(said.starts_with(std::string("f.csv:") + line + ": "));
  };
  refused("a,b\nc,\"never\nclosed\n", "2", "never closed");
  refused("a,b\n\"c\"d,e\n", "2", "after a quoted field");
  refused("a \"b\",c\n", "1", "quote inside");
  refused("a,b\n\n\xff\xfe,c", "3", "UTF-8");
  refused("a\rb", "1", "carriage return");
}

TEST_CASE("an MMLU folder is read whole, and asked as models are") {
  const auto subjects = read_mmlu(files + "/mmlu", 5);
  REQUIRE(subjects.size() == 2);
  CHECK(subjects[1].name == "plain arithmetic");
  REQUIRE(subjects[1].asked.size() == 3);
  CHECK(subjects[1].asked[1].question == "What does \"half of ten\" give?");
  CHECK(subjects[1].asked[1].correct == 2);
  CHECK(subjects[1].asked[2].question.find('\n') != std::string::npos);
  CHECK(mmlu_prompt(subjects[1].asked[0]) ==
        "What is 3, doubled?\nA. 5\nB. 6\nC. 7\nD. 8\nAnswer:");
  const auto short_ones = read_mmlu(files + "/mmlu", 1);
  CHECK(mmlu_context(short_ones[0]) ==
        "The following are multiple choice questions (with answers) about colours.\n\n"
        "Which colour is that of grass?\nA. red\nB. green\nC. blue\nD. white\nAnswer: B\n\n");
  CHECK(mmlu_context(read_mmlu(files + "/mmlu", 0)[0]).ends_with("colours.\n\n"));
}

TEST_CASE("an MMLU folder that is none is refused") {
  const temp_folder folder;
  const auto refused = [&](const char* why) {
    const std::string said = error_of([&] { read_mmlu(folder.path(), 1); });
    CAPTURE(said);
    CHECK(one_line_with(said, why));
  };
  refused("/test: No such file");
  std::filesystem::create_directories(folder.path() + "/test");
  std::filesystem::create_directories(folder.path() + "/dev");
  refused("SUBJECT_test.csv");
  folder.write("test/x_test.csv", "q,1,2,3,4,A\nq,1,2,3,A\n");
  refused("x_test.csv:2: 5 fields");
  folder.write("test/x_test.csv", "q,1,2,3,4,A\n\nq,1,2,3,4,E\n");
  refused("x_test.csv:2: 1 fields");
  folder.write("test/x_test.csv", "q,1,2,3,4,E\n");
  refused("x_test.csv:1: the right choice is \"E\"");
  folder.write("test/x_test.csv", "q,1,2,3,4,A\n");
  refused("x_dev.csv");
  folder.write("dev/x_dev.csv", "");
  refused("has 0 questions");
}

TEST_CASE("RULER lines: the last line asks, all references count") {
  const auto single = read_ruler(files + "/niah_single.jsonl");
  REQUIRE(single.size() == 3);
  CHECK(single[0].context.ends_with("\n"));
  CHECK(single[0].question.starts_with("What is the hidden number for amber-door"));
  CHECK(single[0].question.ends_with("in the text above is"));  // with the answer's beginning
  CHECK(single[0].references.size() == 1);
  CHECK(single[0].context.find(single[0].references[0]) != std::string::npos);
  const auto chains = read_ruler(files + "/vt.jsonl");
  CHECK(chains[1].references.size() == 4);
  CHECK(chains[1].new_tokens == 30);
  CHECK(share_contained("it is ab, and CD", {"AB", "cd", "ef", "gh"}) == 0.5);
  CHECK(ruler_name("/a/niah_single_1/validation.jsonl") == "niah_single_1");
  CHECK(ruler_name("vt.jsonl") == "vt");
  const temp_folder folder;
  const auto apart = read_ruler(folder.write(
      "a.jsonl", "\n{\"context\":\"c\",\"question\":\"q\",\"answer\":\"x\",\"more\":1}\r\n"));
  CHECK(apart[0].where.ends_with("a.jsonl:2"));
  CHECK(apart[0].references == std::vector<std::string>{"x"});
}

TEST_CASE("RULER lines that are none are refused with their number") {
  const temp_folder folder;
  const std::string good = "{\"input\":\"a\\nb\",\"outputs\":[\"x\"]}\n";
  const auto refused = [&](const std::string& line, const char* why) {
    const std::string path = folder.write("bad.jsonl", good + line);
    const std::string said = error_of([&] { read_ruler(path); });
    CAPTURE(said);
    CHECK(one_line_with(said, why));
    CHECK(said.find("bad.jsonl:2") != std::string::npos);
  };
  refused("{\"input\":\"a\\nb\",\"outputs\":[\"x\"]", "not valid JSON");
  refused("[1]", "must be an object");
  refused("{\"outputs\":[\"x\"]}", "no field \"input\"");
  refused("{\"input\":7,\"outputs\":[\"x\"]}", "must be a string");
  refused("{\"input\":\"one line\",\"outputs\":[\"x\"]}", "no line before");
  refused("{\"input\":\"a\\nb\",\"outputs\":[]}", "no reference");
  refused("{\"input\":\"a\\nb\",\"outputs\":[\"\"]}", "empty reference");
  refused("{\"input\":\"a\\nb\",\"outputs\":[3]}", "must be a string");
  refused("{\"context\":\"\",\"question\":\"q\",\"answer\":\"x\"}", "context is empty");
  refused("{\"context\":\"c\",\"answer\":\"x\"}", "no field \"question\"");
  refused("{\"input\":\"a\\nb\",\"outputs\":[\"x\"],\"max_new_tokens\":0}", "max_new_tokens");
  CHECK(
      one_line_with(error_of([&] { read_ruler(folder.write("no.jsonl", "\n\n")); }), "no samples"));
}

TEST_CASE("windows score every token after the first context once, and every word once") {
  const setting s;
  const std::string path = files + "/text.txt";
  const std::string whole = rota_lm_test::read_text(path);
  const auto ids = s.text.encode(whole, false);
  for (const std::size_t stride : {1, 64, 100, 5000}) {
    CAPTURE(stride);
    const text_windows windows(path, 256, stride, s.text);
    const std::size_t before = s.text.encode("").size(), own = 256 - before;
    std::vector<rota_lm::token_id> scored;
    double words = 0;
    for (std::size_t i = 0; i < windows.count(); ++i) {
      const auto context = windows.context(i), more = windows.scored(i);
      CHECK(context.size() == 256);
      CHECK(context.back() == ids[i * stride + own - 1]);
      scored.insert(scored.end(), more.begin(), more.end());
      words += windows.words(i);
    }
    CHECK(scored == std::vector(ids.begin() + static_cast<std::ptrdiff_t>(own), ids.end()));
    const std::string rest = s.text.decode(scored);
    std::istringstream split(rest);
    double expected = 0;
    for (std::string word; split >> word;) ++expected;
    // The word that the cut goes through began before it.
    const bool cut_word = std::isspace(static_cast<unsigned char>(rest[0])) == 0 &&
                          s.text.decode(std::span(ids).first(own)).back() != ' ';
    CHECK(words == expected - (cut_word ? 1 : 0));
  }
  const temp_folder folder;
  CHECK(one_line_with(
      error_of([&] { text_windows(folder.write("short", "a few words"), 256, 64, s.text); }),
      "256"));
  CHECK(one_line_with(error_of([&] { text_windows(folder.path() + "/none", 256, 64, s.text); }),
                      "none"));
}

TEST_CASE("strided perplexity is that of one plain forward pass a window") {
  setting s;
  s.o.samples = 3;
  s.o.files.text = files + "/text.txt";
  s.o.files.stride = 50;
  s.o.tasks.clear();
  s.o.methods.clear();
  const evaluation e = evaluate(s.o, s.lm, s.text);
  const text_windows windows(s.o.files.text, 256, 50, s.text);
  double loss = 0, tokens = 0, words = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    auto ids = windows.context(i);
    const auto scored = windows.scored(i);
    ids.insert(ids.end(), scored.begin(), scored.end());
    rota_lm::dense_cache<element> cache(s.lm.config(), ids.size());
    const rota_lm::matrix logits = s.lm.forward(ids, cache, model::all_tokens);
    for (std::size_t k = ids.size() - scored.size(); k < ids.size(); ++k) {
      const auto row = logits.row(static_cast<Eigen::Index>(k - 1)).cast<double>();
      loss += std::log(row.array().exp().sum()) - row(ids[k]);
    }
    tokens += static_cast<double>(scored.size());
    words += windows.words(i);
  }
  for (const row_result& r : e.rows) {
    if (r.spec.what != row_spec::kind::dense) continue;
    CHECK(score_of(r, e.tasks[0], 1).value ==
          doctest::Approx(std::exp(loss / tokens)).epsilon(1e-4));
    CHECK(word_perplexity(r, e.tasks[0]) == doctest::Approx(std::exp(loss / words)).epsilon(1e-3));
  }
}

TEST_CASE("what a model writes is looked for in what it should") {
  setting s;
  s.o.when = protocol::unseen;
  const task t = ruler_task(files + "/vt.jsonl", 8, s.o, s.lm.config(), s.text);
  CHECK(t.samples == 3);
  prepared sample = t.make(0);
  CHECK(sample.new_tokens == 30);
  counting_memory memory;
  prefilled prefill(s.lm, sample, s.o, memory);
  const std::size_t length = prefill.dense().next_position();
  const rota_lm::matrix before = s.lm.forward(sample.prompt, prefill.dense());
  const std::string written =
      write_greedily(s.lm, s.text, prefill.dense(), before, sample.new_tokens);
  REQUIRE(written.size() > 2);
  sample.references = {written.substr(1), "\x01 is never written"};
  prefill.dense().truncate(length);
  const outcome half = answer(s.lm, s.text, sample, sample.prompt, prefill.dense());
  CHECK(half.score == 0.5);
  CHECK(half.weight == 1);
}

TEST_CASE("a run over files gives each a column, its count, and intervals of shares") {
  const temp_folder folder;
  const std::string model = long_micro(), json = folder.path() + "/rows.json";
  const std::string text = files + "/text.txt", mmlu = files + "/mmlu";
  const std::string ruler = files + "/niah_single.jsonl," + files + "/vt.jsonl";
  for (const char* when : {"seen", "unseen"}) {
    const std::vector<std::string> words = {"evaluate",
                                            "--model",
                                            model,
                                            "--context",
                                            "256",
                                            "--samples",
                                            "4",
                                            "--timing",
                                            "off",
                                            "--text",
                                            text,
                                            "--stride",
                                            "64",
                                            "--mmlu",
                                            mmlu,
                                            "--ruler",
                                            ruler,
                                            "--new-tokens",
                                            "8",
                                            "--budgets",
                                            "0.75",
                                            "--methods",
                                            "dense,token_x_subtoken",
                                            "--json",
                                            json,
                                            "--protocol",
                                            when};
    std::vector<const char*> argv;
    for (const std::string& w : words) argv.push_back(w.c_str());
    std::ostringstream out;
    run(parse_options(static_cast<int>(argv.size()), argv.data()), out);
    CHECK(out.str().find("all there are: niah_single 3, vt 3 samples") != std::string::npos);
    CHECK(out.str().find("per word") != std::string::npos);
    const auto rows = rota_lm::json::parse(rota_lm_test::read_text(json));
    for (const auto& row : rows) {
      CAPTURE(row.dump());
      CHECK(row["needle"].is_null());
      CHECK(row["text"] > 1);
      CHECK(row["word_perplexity"] > row["text"]);
      for (const char* name : {"mmlu", "niah_single", "vt"}) CHECK(row[name].is_number());
      CHECK(row["chance"]["mmlu"] == 0.25);
      CHECK(row["samples"]["vt"] == 3);
      CHECK(row["samples"]["mmlu"] == 4);
    }
  }
}
