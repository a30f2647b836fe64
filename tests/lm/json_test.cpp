// JSON from files that nobody vouches for.
#include "engine/json.hpp"

#include <cstdint>
#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "temp_folder.hpp"

namespace {

using rota_lm::json;
using rota_lm::json_field;
using rota_lm::parse_json;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;

std::string parse_error(const std::string& text, rota_lm::json_limits limits = {}) {
  return error_of([&] { parse_json(text, "file", limits); });
}

}  // namespace

TEST_CASE("documents of every shape are built") {
  const json document = parse_json(R"({"a":[1,-2,2.5,true,null,"x",{"b":[]}],"c":{}})", "file");
  CHECK(document.dump() == R"({"a":[1,-2,2.5,true,null,"x",{"b":[]}],"c":{}})");
  CHECK(parse_json("3", "file") == 3);
}

TEST_CASE("broken and absurd documents are refused") {
  CHECK(one_line_with(parse_error(""), "file: not valid JSON at byte"));
  for (const char* text : {"{", "[1,", "nul", "{\"a\" 1}", "[1]]", "1e999", "\"\\ud800\"", "'a'"}) {
    CHECK(one_line_with(parse_error(text), "not valid JSON"));
  }
  CHECK(one_line_with(parse_error(R"({"a":{"b":1,"c":2,"b":3}})"), "duplicate JSON key \"b\""));
  CHECK(one_line_with(parse_error("[[[1]]]", {100, 2}), "deeper than 2"));
  CHECK(parse_error("[[1]]", {100, 2}).empty());
  CHECK(one_line_with(parse_error("[1,2,3]", {6, 2}), "the limit is 6"));
  CHECK(one_line_with(parse_error(std::string(1000000, '[')), "deeper than 32"));
  std::string mixed;
  for (int i = 0; i < 100000; ++i) mixed += "{\"a\":[";
  CHECK(one_line_with(parse_error(mixed), "deeper than 32"));
}

TEST_CASE("fields are typed and ranged, and errors name them") {
  const json document = parse_json(
      R"({"n":5,"x":0.5,"s":"t","b":true,"l":[1,-1],"z":null,"big":18446744073709551615})", "f");
  const json_field root(document, "f");
  CHECK(root.at("n").integer(0, 5) == 5);
  CHECK(root.at("l").at(1).integer(-1, 0) == -1);
  CHECK(root.at("x").number(0, 1) == 0.5);
  CHECK(root.at("n").number(0, 9) == 5.0);
  CHECK_FALSE(root.has("z"));
  CHECK_FALSE(root.find("none").has_value());
  const auto message = [&](auto&& action) { return error_of(action); };
  CHECK(message([&] { root.at("none"); }) == "f: no field \"none\"");
  CHECK(message([&] { root.at("n").integer(0, 4); }) == "f: n: is 5, must be in [0, 4]");
  CHECK(one_line_with(message([&] { root.at("l").at(1).count(0, 4); }), "f: l[1]: is -1"));
  CHECK(one_line_with(message([&] { root.at("big").integer(INT64_MIN, INT64_MAX); }), "must be"));
  CHECK(one_line_with(message([&] { root.at("x").integer(0, 4); }), "f: x: must be an integer"));
  CHECK(one_line_with(message([&] { root.at("n").string(); }), "must be a string"));
  CHECK(one_line_with(message([&] { root.at("n").boolean(); }), "must be true or false"));
  CHECK(one_line_with(message([&] { root.at("s").number(0, 1); }), "must be a number"));
  CHECK(one_line_with(message([&] { root.at("n").number(0, 1); }), "must be in [0"));
  CHECK(one_line_with(message([&] { root.at("l").at(2); }), "array too short"));
  CHECK(one_line_with(message([&] { root.at("l").at("k"); }), "must be an object"));
  CHECK(one_line_with(message([&] { root.at("n").size(); }), "must be an array"));
}

TEST_CASE("nothing may follow a document, least of all a NUL") {
  using namespace std::string_literals;
  CHECK(parse_error("{\"a\":1}\0garbage"s) == "file: not valid JSON at byte 8: a NUL character");
  CHECK(one_line_with(parse_error("[1,\0 2]"s), "at byte 4"));
  CHECK(one_line_with(parse_error("\"a\0b\""s), "at byte 3"));
  CHECK(one_line_with(parse_error("[]\0"s), "at byte 3"));
  CHECK(one_line_with(parse_error("{} {}"), "not valid JSON at byte"));
}

TEST_CASE("a document of very many values is refused before it fills the memory") {
  rota_lm::json_limits few;
  few.values = 9;
  CHECK(parse_error("[1,2,3,[],{},{\"a\":1,\"b\":2}]", few).empty());
  CHECK(one_line_with(parse_error("[1,2,3,[],{},{\"a\":1,\"b\":[2]}]", few), "more than 9 values"));
  std::string many = "[[]";
  while (many.size() < (std::size_t{15} << 20)) many += ",[]";
  CHECK(one_line_with(parse_error(many + "]"), "file: JSON of more than 4194304 values"));
}
