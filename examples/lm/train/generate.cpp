// generate: prints the synthetic language, for training (--task mix), for tests and for reading.
// --help lists the options. Lengths are in words and punctuation marks, close to tokens of the
// trained tokenizer.
#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/command_line.hpp"
#include "engine/error.hpp"
#include "engine/name_option.hpp"
#include "engine/run_program.hpp"
#include "generator.hpp"

namespace {

namespace synth = rota_lm::synth;

constexpr std::array<std::pair<std::string_view, synth::split>, 2> split_names = {
    {{"train", synth::split::train}, {"eval", synth::split::eval}}};
constexpr std::array<std::pair<std::string_view, bool>, 2> format_names = {
    {{"jsonl", false}, {"text", true}}};
using task_kind = std::optional<synth::task>;  // none: documents of all tasks
constexpr std::array<std::pair<std::string_view, task_kind>, 6> task_names = {
    {{"mix", task_kind()},
     {"needle", synth::task::needle},
     {"vartrack", synth::task::vartrack},
     {"choice", synth::task::choice},
     {"text", synth::task::text},
     {"market", synth::task::market}}};

struct setting {
  synth::request request;
  task_kind task;
  bool as_text = false;
  std::uint64_t count = 1;
};

setting parse(int argc, char** argv) {
  setting s;
  rota_lm::command_line line("generate", "Prints the synthetic language of rota-synth.");
  line.group("What");
  rota_lm::name_option(line, "split", split_names, s.request.from, "Texts of");
  rota_lm::name_option(line, "task", task_names, s.task, "Samples of one task, or documents");
  line.count("seed", s.request.seed, 0, UINT64_MAX / 16, "Of the first");
  line.count("count", s.count, 1, 100'000'000, "How many");
  line.count("length", s.request.length, 96, 1'000'000, "Words and marks of a context");
  line.group("How");
  rota_lm::name_option(line, "format", format_names, s.as_text, "Lines of");
  line.parse(argc, argv);
  return s;
}

std::string_view name_of(task_kind task) {
  for (const auto& [name, kind] : task_names)
    if (kind == task) return name;
  return "";
}

// The language has no character that JSON escapes.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

void print_document(const setting& s) {
  std::string line = "{\"pieces\":[", text;
  for (const synth::piece& p : synth::make_document(s.request)) {
    if (!text.empty()) line += ',';
    line += "[" + quoted(p.text) + (p.is_answer ? ",1]" : ",0]");
    text += p.text;
  }
  line += "]}";
  std::puts(s.as_text ? (text + "\n").c_str() : line.c_str());
}

void print_sample(const setting& how) {
  const synth::sample s = synth::make_sample(*how.task, how.request);
  if (how.as_text) {
    std::puts((s.context + s.question + s.answer + "\n").c_str());
    return;
  }
  std::string choices;
  for (const std::string& c : s.choices) choices += (choices.empty() ? "" : ",") + quoted(c);
  std::printf(
      "{\"task\":\"%s\",\"context\":%s,\"question\":%s,\"choices\":[%s],\"answer\":%s,"
      "\"correct\":%zu,\"depth\":%.6f,\"chance\":%g}\n",
      std::string(name_of(how.task)).c_str(), quoted(s.context).c_str(), quoted(s.question).c_str(),
      choices.c_str(), quoted(s.answer).c_str(), s.correct, s.depth, s.chance);
}

void run(setting s) {
  for (std::uint64_t i = 0; i < s.count; ++i, ++s.request.seed) {
    if (s.task)
      print_sample(s);
    else
      print_document(s);
    if (std::ferror(stdout) != 0) rota_lm::fail("standard output", "cannot be written");
  }
  if (std::fflush(stdout) != 0) rota_lm::fail("standard output", "cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  return rota_lm::run_program("generate", [&] { run(parse(argc, argv)); });
}
