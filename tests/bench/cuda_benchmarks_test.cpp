#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "../../bench/cuda/options.hpp"
#include "../../bench/cuda/result_file.hpp"

// What the CUDA benchmarks do before and after the GPU: their options, cases and files.

namespace {

bench::options parsed(const std::vector<std::string>& arguments, bool decodes = true) {
  return bench::command_line("test", decodes).parse(arguments);
}
std::string refusal(const std::vector<std::string>& arguments, bool decodes = true) {
  try {
    parsed(arguments, decodes);
  } catch (const CLI::ParseError& e) {
    return e.what();
  }
  return "";
}
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
std::string contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

const bench::row a_row{"decode", {8, 8192, 32, 8, 1}, "packed 50%", 0.51, 100.0, 1e8};

}  // namespace

TEST_CASE("without options decoding measures every shape, both head counts and every store") {
  const bench::options o = parsed({});
  CHECK(o.cases.size() == 3 * 2 * 4 * 10);
  CHECK(o.out.empty());
  CHECK(!(o.quick || o.list || o.once));
  CHECK(parsed({"--quick"}).cases.size() == 3 * 2 * 10);
}

TEST_CASE("the dense store of a shape comes before the others, and few queries before many") {
  const bench::options o = parsed({});
  CHECK(o.cases.front().store.name == "dense");
  CHECK(o.cases.front().s.queries == 1);
  CHECK(o.cases.back().s.queries == 16);
  for (std::size_t i = 0; i < o.cases.size(); ++i)
    CHECK((o.cases[i].store.form == bench::layout::dense) == (i % 10 == 0));
}

TEST_CASE("options choose shapes, stores and queries") {
  const bench::options o =
      parsed({"--shape", "1,32768,32", "--shape", "8,8192,32", "--store", "dense", "--store",
              "packed 37.5%", "--queries", "4", "--once", "--out", "x.json"});
  REQUIRE(o.cases.size() == 4);
  CHECK(o.cases[3].s.batch == 8);
  CHECK(o.cases[3].s.context == 8192);
  CHECK(o.cases[3].s.q_heads == 32);
  CHECK(o.cases[3].s.queries == 4);
  CHECK(o.cases[3].store.ratios.tokens == 0.5);
  CHECK(o.once);
  CHECK(o.out == "x.json");
  CHECK(parsed({"--shape", "1,1024"}).cases.size() == 3 * 2 * 10);
}

TEST_CASE("what is not a shape, a store or a number of queries is refused by name") {
  for (const char* const text : {"", "1", "1,", "1,2,3,4", "0,1024", "1,1000", "1,1024,8", "a,1024",
                                 "1,1024x", "-1,1024", "1,99999999999999999999", "1,1048592"}) {
    CAPTURE(text);
    CHECK(has(refusal({"--shape", text}), "--shape"));
  }
  CHECK(has(refusal({"--store", "packed"}), "packed 37.5%"));
  CHECK(has(refusal({"--queries", "0"}), "--queries"));
  CHECK(has(refusal({"--queries", "65"}), "--queries"));
  CHECK(refusal({"--once"}, false) != "");
  CHECK(refusal({"--shape", "1,1024"}, false) != "");
  CHECK(refusal({"somewhere.json"}) != "");
}

TEST_CASE("a result's file is whole after each row") {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / "rota_result_file_test.json";
  bench::result_file file(path.string(), {"Test GPU-1", 13000, 4e12, 4.5e12});
  const std::string head =
      "{\"gpu\": \"Test GPU-1\", \"driver\": 13000, \"copy_bytes_per_second\": 4e+12, "
      "\"read_bytes_per_second\": 4.5e+12, \"rows\": [";
  const std::string one =
      "{\"case\": \"decode\", \"batch\": 8, \"context\": 8192, \"q_heads\": 32, \"kv_heads\": 8, "
      "\"query_tokens\": 1, \"store\": \"packed 50%\", \"kv_bytes_ratio\": 0.5100, "
      "\"microseconds\": 100.00, \"bytes_per_second\": 1e+12, \"copy_fraction\": 0.250, \"peer\": "
      "\"rota\"}";
  REQUIRE(file.write());
  CHECK(contents(path) == head + "\n]}\n");
  file.add(a_row);
  REQUIRE(file.write());
  CHECK(contents(path) == head + "\n " + one + "\n]}\n");
  file.add(a_row);
  REQUIRE(file.write());
  CHECK(contents(path) == head + "\n " + one + ",\n " + one + "\n]}\n");
  std::filesystem::remove(path);
}

TEST_CASE("a file that cannot be written is noticed before anything is measured") {
  CHECK(!bench::result_file("/nowhere/at/all.json", {}).write());
  CHECK(bench::result_file("", {}).write());
}
