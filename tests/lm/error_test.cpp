// Foreign text on a terminal.
#include "engine/error.hpp"

#include <string>

#include <doctest/doctest.h>

using namespace std::string_literals;

TEST_CASE("escape sequences and other controls are not printed, text of any language is") {
  using rota_lm::without_controls;
  CHECK(without_controls("two\n\tlines, \xc3\xa4\xe2\x82\xac") ==
        "two\n\tlines, \xc3\xa4\xe2\x82\xac");
  CHECK(without_controls("\x1b[2J\x1b]0;title\x07") == "?[2J?]0;title?");
  CHECK(without_controls("a\0b\r\x7f\x08"s) == "a?b???");
  CHECK(without_controls("\xc2\x9b"
                         "31m\xc2\xa0\xc2") == "?31m\xc2\xa0\xc2");
  CHECK(without_controls("").empty());
}
