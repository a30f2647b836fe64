// Safetensors files and checkpoints, above all those that lie.
#include "engine/safetensors.hpp"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/checkpoint.hpp"
#include "engine/number_formats.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::checkpoint;
using rota_lm::safetensors_file;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::safetensors_bytes;
using rota_lm_test::temp_folder;

/// A header padded with spaces so that the data is aligned to 8 bytes.
std::string padded(std::string header) {
  while (header.size() % 8 != 0) header += ' ';
  return header;
}

struct refused {
  std::string header;
  std::size_t data_bytes;
  std::string message;  // what the error must say
};

std::string open_error(const std::string& content) {
  const temp_folder folder;
  const std::string path = folder.write("x.safetensors", content);
  const std::string message = error_of([&] { safetensors_file file(path); });
  if (!message.empty()) CHECK(one_line_with(message, "x.safetensors"));
  return message;
}

std::string f32_bytes(const std::vector<float>& values) {
  std::string out(values.size() * 4, '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

}  // namespace

TEST_CASE("a well-formed file is read") {
  const temp_folder folder;
  const std::string header = padded(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"I64","shape":[],"data_offsets":[8,16]},)"
      R"("none":{"dtype":"F16","shape":[0,7],"data_offsets":[16,16]}})");
  const std::string path = folder.write(
      "x.safetensors", safetensors_bytes(header, f32_bytes({1.5f, -2.0f}) + std::string(8, 1)));
  const safetensors_file file(path);
  CHECK(file.tensors().size() == 3);
  std::vector<float> a(2);
  file.read_f32("a", a);
  CHECK(a == std::vector<float>{1.5f, -2.0f});
  CHECK(file.read_i64("b") == std::vector<std::int64_t>{0x0101010101010101});
  std::vector<float> none;
  file.read_f32("none", none);
  CHECK(one_line_with(error_of([&] { file.info("c"); }), "tensor \"c\": not in this file"));
  CHECK(one_line_with(error_of([&] { file.read_i64("a"); }), "dtype is F32"));
  CHECK(one_line_with(error_of([&] { file.read_f32("b", a); }), "cannot be a weight"));
  CHECK(one_line_with(error_of([&] { file.read_f32("a", none); }), "wrong size"));
  CHECK(one_line_with(error_of([&] {
                        file.check_weight("a", std::vector<std::uint64_t>{1, 2});
                      }),
                      "has shape [2, 1], needed is [1, 2]"));
}

TEST_CASE("16-bit floats widen exactly") {
  using rota_lm::bf16_to_f32;
  using rota_lm::f16_to_f32;
  CHECK(f16_to_f32(0x3c00) == 1.0f);
  CHECK(f16_to_f32(0xc000) == -2.0f);
  CHECK(f16_to_f32(0x7bff) == 65504.0f);
  CHECK(f16_to_f32(0x0001) == 0x1p-24f);
  CHECK(f16_to_f32(0x83ff) == -1023 * 0x1p-24f);
  CHECK(f16_to_f32(0x0400) == 0x1p-14f);
  CHECK(f16_to_f32(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(f16_to_f32(0x7e01)));
  CHECK(std::signbit(f16_to_f32(0x8000)));
  CHECK(bf16_to_f32(0x3f80) == 1.0f);
  CHECK(bf16_to_f32(0xc040) == -3.0f);
  CHECK(std::isnan(bf16_to_f32(0x7fc0)));
}

TEST_CASE("files whose framing is broken are refused") {
  CHECK(one_line_with(error_of([] { safetensors_file file("/nonexistent/x"); }), "cannot open"));
  CHECK(one_line_with(error_of([] { safetensors_file file("/"); }), "not a regular file"));
  CHECK(one_line_with(open_error(""), "too short"));
  CHECK(one_line_with(open_error("1234567"), "too short"));
  CHECK(one_line_with(open_error(std::string(8, '\0')), "does not begin with {"));
  CHECK(one_line_with(open_error(std::string(8, '\xff') + "{}"), "above the limit"));
  const std::string good = safetensors_bytes("{}      ", "");
  CHECK(open_error(good).empty());
  CHECK(one_line_with(open_error(good.substr(0, good.size() - 1)), "truncated"));
  CHECK(one_line_with(open_error(safetensors_bytes(" {}", "")), "does not begin with {"));
  CHECK(one_line_with(open_error(safetensors_bytes("{]", "")), "not valid JSON at byte"));
  CHECK(one_line_with(open_error(safetensors_bytes("{}x", "")), "not valid JSON at byte"));
  CHECK(one_line_with(open_error(safetensors_bytes("{\"\xff\":1}", "")), "not valid JSON"));
  CHECK(one_line_with(open_error(safetensors_bytes("{}      ", "abc")), "bytes after the last"));
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100000; ++i) deep += '[';
  CHECK(one_line_with(open_error(safetensors_bytes(deep, "")), "nested deeper"));
}

TEST_CASE("headers that lie about their tensors are refused") {
  const std::vector<refused> cases = {
      {R"({"a":[]})", 0, "must be an object"},
      {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "no field \"dtype\""},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "no field \"shape\""},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "no field \"data_offsets\""},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4, "must be a string"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "must be in [0"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "must be an integer"},
      {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "must be an array"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
       "must be in [0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "[begin, end]"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "[begin, end]"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", 4, "must be in [0"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "out of order"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "4 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807]}})", 4,
       "bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "needs 12 bytes"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,1073741824],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12, "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "hole"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
       12, "hole"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "duplicate JSON key"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "duplicate JSON key"},
  };
  for (const refused& c : cases) {
    CAPTURE(c.header);
    const std::string message =
        open_error(safetensors_bytes(padded(c.header), std::string(c.data_bytes, '\0')));
    CAPTURE(message);
    CHECK(one_line_with(message, c.message));
  }
}

TEST_CASE("tensors lie at any address, of any dtype, beside any metadata") {
  const temp_folder folder;
  for (const char* space : {"", " ", "  ", "   "}) {
    const std::string path = folder.write(
        "x.safetensors",
        safetensors_bytes(
            R"({"__metadata__":null,"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
            R"("a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},)"
            R"("six":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[9,12]},)"
            R"("i":{"dtype":"I64","shape":[1],"data_offsets":[12,20]}})" +
                std::string(space),
            "u" + f32_bytes({1.5f, -2.0f}) + "six" + std::string(8, 1)));
    const safetensors_file file(path);
    std::vector<float> a(2);
    file.read_f32("a", a);
    CHECK(a == std::vector<float>{1.5f, -2.0f});
    CHECK(file.read_i64("i") == std::vector<std::int64_t>{0x0101010101010101});
    CHECK(file.metadata().empty());
    std::vector<float> six(4);
    CHECK(one_line_with(error_of([&] { file.read_f32("six", six); }),
                        "tensor \"six\": dtype F6_E2M3 cannot be a weight"));
  }
  CHECK(one_line_with(open_error(safetensors_bytes(
                          R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,9]}})", "12")),
                      "2 bytes of data"));
  CHECK(one_line_with(open_error(safetensors_bytes("{}" + std::string(1, '\0'), "")), "a NUL"));
}

TEST_CASE("weights are finite, other numbers need not be") {
  const temp_folder folder;
  std::vector<float> numbers(3000, 1.0f);
  numbers[2047] = std::numeric_limits<float>::max();
  const auto read = [&](bool weight) {
    const std::string path = folder.write(
        "x.safetensors",
        safetensors_bytes(R"({"a":{"dtype":"F32","shape":[3000],"data_offsets":[0,12000]}})",
                          f32_bytes(numbers)));
    const safetensors_file file(path);
    std::vector<float> out(3000);
    return error_of([&] { weight ? file.read_weight("a", out) : file.read_f32("a", out); });
  };
  CHECK(read(true).empty());
  numbers[2999] = -std::numeric_limits<float>::infinity();
  CHECK(one_line_with(read(true), "tensor \"a\": number 2999 of 3000 is not finite"));
  numbers[1024] = std::nanf("");
  CHECK(one_line_with(read(true), "number 1024 of 3000"));
  CHECK(read(false).empty());
}

TEST_CASE("much metadata takes time and memory in proportion") {
  std::string header = R"({"__metadata__":{"k":"v")";
  for (int i = 0; i < 300000; ++i) header += ",\"key " + std::to_string(i) + "\":\"a value\"";
  const std::string long_value(20'000'000, 'x');
  const std::string content = safetensors_bytes(header + ",\"long\":\"" + long_value + "\"}}", "");
  const auto start = std::chrono::steady_clock::now();
  CHECK(open_error(content).empty());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  CHECK(took.count() < 30);  // a second; minutes when it grows with the square
}

TEST_CASE("every truncation and every flipped byte of a file is refused or read, never a crash") {
  const std::string header = padded(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                    R"("b":{"dtype":"BF16","shape":[2,2],"data_offsets":[8,16]}})");
  const std::string good = safetensors_bytes(header, std::string(16, '\x3f'));
  const temp_folder folder;
  const auto open = [&](const std::string& content) {
    const safetensors_file file(folder.write("x.safetensors", content));
    for (const auto& [name, info] : file.tensors()) {
      std::vector<float> out(info.elements);
      file.read_f32(name, out);
    }
  };
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(error_of([&] { open(good.substr(0, size)); }).empty());
  }
  for (std::size_t at = 0; at < 8 + header.size(); ++at) {
    for (const int flip : {1, 2, 16, 128}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      const std::string message = error_of([&] { open(bad); });
      CHECK(one_line_with(message, ""));
    }
  }
}

TEST_CASE("names from a file cannot break the line of an error") {
  const std::string header =
      padded(R"({"a\n\u001b[2J":{"dtype":"F\n","shape":[1],"data_offsets":[0,5]}})");
  CHECK(one_line_with(open_error(safetensors_bytes(header, "1234")), "tensor \"a??[2J\""));
}

TEST_CASE("sharded checkpoints") {
  const temp_folder folder;
  const auto shard = [](const std::string& name) {
    return safetensors_bytes(
        padded("{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})"),
        f32_bytes({2.5f}));
  };
  folder.write("one.safetensors", shard("a"));
  folder.write("two.safetensors", shard("b"));
  folder.write("again.safetensors", shard("a"));
  const auto open = [&](const std::string& map) {
    folder.write("model.safetensors.index.json", "{\"weight_map\":" + map + "}");
    return error_of([&] { checkpoint c(folder.path()); });
  };
  CHECK(open(R"({"a":"one.safetensors","b":"two.safetensors"})").empty());
  const checkpoint good(folder.path());
  CHECK(good.contains("a"));
  CHECK_FALSE(good.contains("c"));
  float value = 0;
  good.read_weight("b", {&value, 1});
  CHECK(value == 2.5f);
  CHECK(one_line_with(error_of([&] { good.read_weight("c", {&value, 1}); }), "no tensor \"c\""));

  CHECK(one_line_with(open("{}"), "is empty"));
  CHECK(one_line_with(open("[]"), "must be an object"));
  CHECK(one_line_with(open(R"({"a":"gone.safetensors"})"), "gone.safetensors: cannot open"));
  CHECK(one_line_with(open(R"({"b":"one.safetensors"})"), "is not in the shard"));
  CHECK(one_line_with(open(R"({"a":"one.safetensors","b":"two.safetensors","a":"x"})"),
                      "duplicate JSON key"));
  for (const char* name : {"../one.safetensors", "/etc/passwd", "", ".hidden", "x/y"}) {
    CHECK(one_line_with(open("{\"a\":\"" + std::string(name) + "\"}"), "not a plain file name"));
  }
  folder.write("both.safetensors",
               safetensors_bytes(padded(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                        R"("c":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
                                 f32_bytes({1, 2})));
  CHECK(one_line_with(open(R"({"a":"one.safetensors","c":"both.safetensors"})"), "two shards"));
  CHECK(one_line_with(error_of([] { checkpoint c("/nonexistent"); }), "cannot open"));
}
