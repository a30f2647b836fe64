// Files that are there whole or not at all: links, devices, and what killed processes leave.
#include "engine/atomic_file.hpp"

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/text_file.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

namespace {

namespace fs = std::filesystem;

std::string read(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void put(atomic_file& file, const std::string& text) {
  file.write(std::as_bytes(std::span(text)));
}

std::ptrdiff_t files_in(const temp_folder& folder) {
  return std::distance(fs::directory_iterator(folder.path()), {});
}

/// What a process leaves that is killed while it writes `path`.
void write_and_die(const std::string& path, const std::string& text) {
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    atomic_file file(path);
    put(file, text);
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

}  // namespace

TEST_CASE("what a killed writer left goes with the next write, and nothing else does") {
  const temp_folder folder;
  const std::string path = folder.write("cache", "old");
  folder.write("cache.backup", "a user's");
  folder.write("cache.123456.rota", "another's");
  folder.write("cache2.123456.rota-tmp", "of another file");
  for (int i = 0; i < 3; ++i) write_and_die(path, "half");
  CHECK(read(path) == "old");
  CHECK(files_in(folder) == 5);  // each killed writer has removed what the one before left
  atomic_file file(path);
  put(file, "new");
  CHECK(files_in(folder) == 5);
  file.commit();
  CHECK(read(path) == "new");
  CHECK(files_in(folder) == 4);
}

TEST_CASE("a writer that lives keeps its file while another writes the same one") {
  const temp_folder folder;
  const std::string path = folder.path() + "/file";
  atomic_file slow(path);
  put(slow, "slow");
  {
    atomic_file quick(path);
    put(quick, "quick");
    quick.commit();
  }
  CHECK(read(path) == "quick");
  const temp_folder* const kept = &folder;
  CHECK(files_in(*kept) == 2);
  slow.commit();
  CHECK(read(path) == "slow");
  CHECK(files_in(*kept) == 1);
}

TEST_CASE("writers of one file in many threads leave one whole file") {
  const temp_folder folder;
  const std::string path = folder.path() + "/file";
  std::vector<std::future<void>> all;
  for (int i = 0; i < 4; ++i)
    all.push_back(std::async(std::launch::async, [&, i] {
      for (int j = 0; j < 50; ++j) {
        atomic_file file(path);
        put(file, std::string(1000, static_cast<char>('a' + i)));
        file.commit();
      }
    }));
  for (auto& one : all) one.get();
  const std::string text = read(path);
  CHECK(text == std::string(1000, text.at(0)));
  CHECK(files_in(folder) == 1);
}

TEST_CASE("symbolic links go on pointing, to what is there and to what is not yet") {
  const temp_folder folder;
  fs::create_directory(folder.path() + "/far");
  fs::create_symlink("far/file", folder.path() + "/near");
  fs::create_symlink("near", folder.path() + "/nearer");
  for (const char* text : {"one", "two"}) {
    write_file(folder.path() + "/nearer", text);
    CHECK(fs::is_symlink(folder.path() + "/nearer"));
    CHECK(fs::is_symlink(folder.path() + "/near"));
    CHECK(read(folder.path() + "/far/file") == text);
    CHECK(std::distance(fs::directory_iterator(folder.path() + "/far"), {}) == 1);
  }
}

TEST_CASE("devices, pipes and nameless files are refused, or written through where text goes") {
  const temp_folder folder;
  const std::string pipe = folder.path() + "/pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  fs::create_symlink(pipe, folder.path() + "/link");
  for (const std::string& path :
       {pipe, folder.path() + "/link", std::string("/dev/null"), std::string("/dev/stdout")}) {
    CAPTURE(path);
    CHECK(one_line_with(error_of([&] { atomic_file file(path); }), "is a device, a pipe"));
    CHECK(error_of([&] { check_writable(path); }).empty());  // and does not wait for a reader
  }
  CHECK(fs::is_fifo(pipe));
  auto reader = std::async(std::launch::async, [&] { return read(pipe); });
  write_file(folder.path() + "/link", "through");
  CHECK(reader.get() == "through");
  CHECK(fs::is_fifo(pipe));
  write_file("/dev/null", "x");
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(files_in(folder) == 2);
  CHECK(one_line_with(error_of([] { atomic_file file(""); }), "needs a name"));
  CHECK(one_line_with(error_of([] { check_writable(""); }), "needs a name"));
}
