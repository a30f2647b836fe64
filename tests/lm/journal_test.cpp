// The journal of a long run: it goes on where it was stopped, and keeps what JSON has no numbers
// for.
#include "evaluate/journal.hpp"

#include <cmath>
#include <fstream>
#include <limits>
#include <string>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "micro_folder.hpp"
#include "temp_folder.hpp"

using namespace rota_lm::eval;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::read_text;
using rota_lm_test::temp_folder;

namespace {

journal_entry entry_of(double score) {
  journal_entry e;
  e.outcomes = {{score, 1}, {1, 1}};
  e.bytes = {1, 2, 0.5, 3, 4, 5, 6};
  return e;
}

}  // namespace

TEST_CASE("a journal gives back what was written, and a torn last line does not count") {
  const temp_folder folder;
  const std::string path = folder.path() + "/j.jsonl";
  {
    journal j(path, "run one");
    CHECK(j.find("a", "needle", 0, 2) == nullptr);
    j.add("a", "needle", 0, entry_of(0));
    j.add("a", "choice", 2, entry_of(1));
  }
  const std::string whole = read_text(path);
  std::ofstream(path, std::ios::app) << "{\"row\":\"b\",\"task\":\"nee";
  for (int round = 0; round < 2; ++round) {  // the second finds a mended file
    const journal j(path, "run one");
    const journal_entry* e = j.find("a", "needle", 0, 2);
    REQUIRE(e != nullptr);
    CHECK(e->outcomes[0].score == 0);
    CHECK(e->outcomes[1].score == 1);
    CHECK(e->bytes.worst_ratio == 0.5);
    CHECK(e->bytes.all_groups == 6);
    CHECK(j.find("a", "needle", 0, 3) == nullptr);  // other samples
    CHECK(j.find("b", "needle", 0, 2) == nullptr);
    CHECK(read_text(path) == whole);
  }
  CHECK(one_line_with(error_of([&] { journal(path, "run two"); }), "another run"));
  folder.write("bad.jsonl", "{\"run\":\"x\"}\n{\"row\":3}\n");
  CHECK(one_line_with(error_of([&] { journal(folder.path() + "/bad.jsonl", "x"); }), ":2"));
}

TEST_CASE("scores that are not finite come back from a journal as they were") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const temp_folder folder;
  const std::string path = folder.path() + "/j.jsonl";
  journal_entry e;
  e.outcomes = {{std::nan(""), 1}, {infinity, 2}, {-infinity, infinity}, {1e308, 0}};
  e.bytes = {1, 2, infinity, 3, 4, 5, 6, std::nan("")};
  {
    journal j(path, "run");
    j.add("a", "needle", 0, e);
  }
  const journal j(path, "run");
  const journal_entry* back = j.find("a", "needle", 0, 4);
  REQUIRE(back != nullptr);
  CHECK(std::isnan(back->outcomes[0].score));
  CHECK(back->outcomes[1].score == infinity);
  CHECK(back->outcomes[2].score == -infinity);
  CHECK(back->outcomes[2].weight == infinity);
  CHECK(back->outcomes[3].score == 1e308);
  CHECK(back->bytes.worst_ratio == infinity);
  CHECK(back->bytes.all_groups == 6);
  CHECK(std::isnan(back->bytes.read));
}

TEST_CASE("journals of before, which wrote null, open; other words do not") {
  const temp_folder folder;
  const auto open = [&](const std::string& score) {
    const std::string path = folder.write(
        "j", "{\"run\":\"x\"}\n{\"row\":\"a\",\"task\":\"t\",\"first\":0,\"scores\":[" + score +
                 "],\"weights\":[1],\"bytes\":[1,2,3,4,5,6,7,8]}\n");
    return error_of([&] { journal(path, "x"); });
  };
  CHECK(open("null") == "");
  CHECK(open("\"nan\"") == "");
  CHECK(one_line_with(open("\"many\""), "j:2: scores[0]: must be a number"));
  CHECK(one_line_with(open("1,2"), "j:2: weights: array too short"));
  const std::string pipe = folder.path() + "/pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(one_line_with(error_of([&] { journal(pipe, "x"); }), "is not a regular file"));
}
