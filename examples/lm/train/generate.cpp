// generate: prints the synthetic language, for training (--task mix), for tests and for reading.
// --help prints the arguments. Lengths are in words and punctuation marks, close to tokens of the
// trained tokenizer.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "generator.hpp"

namespace {

namespace synth = rota_lm::synth;

constexpr const char* usage =
    "generate --split train|eval --task mix|needle|vartrack|choice|text|market --seed N --count N\n"
    "         --length N [--format jsonl|text]\n";

struct arguments {
  synth::request request;
  std::string task = "mix";
  std::string format = "jsonl";
  std::uint64_t count = 1;
};

std::uint64_t parse_number(const std::string& name, const std::string& text, std::uint64_t low,
                           std::uint64_t high) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high)
    throw std::runtime_error(name + " wants a number from " + std::to_string(low) + " to " +
                             std::to_string(high) + ", not '" + text.substr(0, 40) + "'");
  return value;
}

std::string one_of(const std::string& name, const std::string& text,
                   std::initializer_list<const char*> legal) {
  std::string all;
  for (const char* word : legal) {
    if (text == word) return text;
    all += all.empty() ? word : std::string("|") + word;
  }
  throw std::runtime_error(name + " wants " + all + ", not '" + text.substr(0, 40) + "'");
}

arguments parse(int argc, char** argv) {
  arguments a;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) throw std::runtime_error("'" + name.substr(0, 40) + "' wants a value");
    const std::string value = argv[i + 1];
    if (name == "--split")
      a.request.from = one_of(name, value, {"train", "eval"}) == "train" ? synth::split::train
                                                                         : synth::split::eval;
    else if (name == "--task")
      a.task = one_of(name, value, {"mix", "needle", "vartrack", "choice", "text", "market"});
    else if (name == "--format")
      a.format = one_of(name, value, {"jsonl", "text"});
    else if (name == "--seed")
      a.request.seed = parse_number(name, value, 0, UINT64_MAX / 16);
    else if (name == "--count")
      a.count = parse_number(name, value, 1, 100'000'000);
    else if (name == "--length")
      a.request.length = parse_number(name, value, 96, 1'000'000);
    else
      throw std::runtime_error("unknown option '" + name.substr(0, 40) + "'");
  }
  return a;
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

void print_document(const arguments& a) {
  std::string line = "{\"pieces\":[", text;
  for (const synth::piece& p : synth::make_document(a.request)) {
    if (!text.empty()) line += ',';
    line += "[" + quoted(p.text) + (p.is_answer ? ",1]" : ",0]");
    text += p.text;
  }
  line += "]}";
  std::puts(a.format == "text" ? (text + "\n").c_str() : line.c_str());
}

void print_sample(const arguments& a) {
  static const std::map<std::string, synth::task> kinds = {{"needle", synth::task::needle},
                                                           {"vartrack", synth::task::vartrack},
                                                           {"choice", synth::task::choice},
                                                           {"text", synth::task::text},
                                                           {"market", synth::task::market}};
  const synth::sample s = synth::make_sample(kinds.at(a.task), a.request);
  if (a.format == "text") {
    std::puts((s.context + s.question + s.answer + "\n").c_str());
    return;
  }
  std::string choices;
  for (const std::string& c : s.choices) choices += (choices.empty() ? "" : ",") + quoted(c);
  std::printf(
      "{\"task\":\"%s\",\"context\":%s,\"question\":%s,\"choices\":[%s],\"answer\":%s,"
      "\"correct\":%zu,\"depth\":%.6f,\"chance\":%g}\n",
      a.task.c_str(), quoted(s.context).c_str(), quoted(s.question).c_str(), choices.c_str(),
      quoted(s.answer).c_str(), s.correct, s.depth, s.chance);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 2 && std::string_view(argv[1]) == "--help")
    return std::fputs(usage, stdout) < 0 || std::fflush(stdout) != 0 ? 1 : 0;
  arguments a = parse(argc, argv);
  for (std::uint64_t i = 0; i < a.count; ++i, ++a.request.seed) {
    if (a.task == "mix")
      print_document(a);
    else
      print_sample(a);
    if (std::ferror(stdout) != 0) throw std::runtime_error("cannot write the output");
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "generate: %s\n", e.what());
  return 1;
}
