// Command lines: what is read, and what is refused in one line.
#include "engine/command_line.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "temp_folder.hpp"

namespace {

using rota_lm_test::error_of;
using rota_lm_test::one_line_with;

/// One option of each kind.
struct values {
  std::uint64_t n = 1;
  double x = 1;
  std::string text, any = "none";
  std::vector<std::string> names;
  std::vector<double> shares{0.5};
  bool on = false;
};

values parse(std::vector<const char*> words) {
  words.insert(words.begin(), "program");
  values v;
  rota_lm::command_line line("program", "Tries command lines");
  line.count("n", v.n, 0, 8, "A count");
  line.group("More");
  line.number("x", v.x, -1, 1, "A number");
  line.text("text", v.text, "A text");
  line.any_text("any", v.any, "Any text");
  line.texts("names", v.names, "Names");
  line.numbers("shares", v.shares, 0, 1, "Shares");
  line.flag("on", v.on, "A switch");
  line.exclude("text", "any");
  line.need("names", "text");
  line.parse(static_cast<int>(words.size()), words.data());
  return v;
}

bool refused(const std::vector<const char*>& words, const char* part) {
  const std::string said = error_of([&] { parse(words); });
  CAPTURE(said);
  return one_line_with(said, part);
}

}  // namespace

TEST_CASE("values go where they belong, and defaults stay") {
  CHECK(parse({}).n == 1);
  CHECK(parse({"--n", "5"}).n == 5);
  CHECK(parse({"--n=5"}).n == 5);
  CHECK(parse({"--x", "-0.5"}).x == -0.5);
  CHECK(parse({"--text", "-begins with a dash"}).text == "-begins with a dash");
  CHECK(parse({"--any", ""}).any.empty());
  CHECK(parse({"--any", "-"}).any == "-");
  CHECK(parse({"--text", "t", "--names", "a,b"}).names == std::vector<std::string>{"a", "b"});
  CHECK(parse({"--shares", "1,0.25"}).shares == std::vector<double>{1, 0.25});
  CHECK(parse({"--on"}).on);
}

TEST_CASE("bad command lines are refused in one line that names the option") {
  CHECK(refused({"--y", "5"}, "--y"));
  CHECK(refused({"n", "5"}, "n"));
  CHECK(refused({"--n"}, "--n"));
  CHECK(refused({"--n", "1", "--n", "2"}, "--n"));
  for (const char* wrong : {"", "-1", "1.5", "99999999999999999999", "0x1"}) {
    CAPTURE(wrong);
    CHECK(refused({"--n", wrong}, "whole number"));
  }
  CHECK(refused({"--n", "9"}, "[0, 8]"));
  CHECK(refused({"--x", "inf"}, "not a number"));
  CHECK(refused({"--x", "1.5"}, "[-1, 1]"));
  CHECK(refused({"--text", ""}, "--text: is empty"));
  CHECK(refused({"--shares", "0.5,,1"}, "empty entry"));
  CHECK(refused({"--shares", "0.5,0.50"}, "twice"));
  CHECK(refused({"--text", "t", "--names", "a,a"}, "twice"));
  CHECK(refused({"--text", "t", "--any", "u"}, "--any"));
  CHECK(refused({"--names", "a"}, "--text"));
}

TEST_CASE("the help shows groups and defaults") {
  try {
    parse({"--help"});
    FAIL("no help");
  } catch (const rota_lm::help_wanted& help) {
    const std::string text = help.what();
    for (const char* part : {"Tries command lines", "More", "--n", "[1]", "[none]", "--version"}) {
      CAPTURE(part);
      CHECK(text.find(part) != std::string::npos);
    }
  }
}
