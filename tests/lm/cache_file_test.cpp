// Cache files: what is loaded goes on as what was saved, and nothing else is ever loaded.
#include "engine/cache_file.hpp"

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cache_setting.hpp"
#include "engine/dense_cache.hpp"
#include "engine/model_tag.hpp"
#include "engine/packed_cache.hpp"
#include "engine/scoring_context.hpp"
#include "span_compressor.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::atomic_file;
using rota_lm::dense_cache;
using rota_lm::load_cache;
using rota_lm::matrix;
using rota_lm::packed_cache;
using rota_lm::saved_prompt;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::setting;
using rota_lm_test::temp_folder;

using half = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                             rota::groups<rota::value_norm, rota::keep_ratio>,
                             rota::packed<rota::bf16, 8>, rota::mean_fill>;
using whole = rota::attention<rota::packed<float, 4>>;
using cache = packed_cache;
using any_op = rota::any_op<whole, half>;

half::params halves() {
  half::params p;
  p.protect = {1, 2};
  p.tokens.budget.ratio = 0.6;
  p.groups.budget.ratio = 0.5;
  p.store.tail_capacity = 3;
  return p;
}

/// The cache of the first `tokens` of a setting: layers that hold everything and layers that do
/// not.
cache compressed(const setting& s, std::size_t tokens) {
  dense_cache<float> dense(s.lm.config(), tokens);
  rota_lm::prefill_record record(s.lm);
  s.lm.forward(std::span(s.ids).first(tokens), dense, 0, &record);
  std::vector<any_op> ops(s.lm.config().layers, any_op::of<half>(halves()));
  ops[0] = any_op::of<whole>({});
  cache out(s.lm.config());
  rota_lm::compress_each<float>(dense, record, std::span<const any_op>(ops), out);
  return out;
}

rota::saved_identity identity_of(const setting& s) {
  return {half::fingerprint(halves()), rota_lm::model_tag(s.lm)};
}

std::string write(const temp_folder& folder, const std::string& name, const cache& from,
                  const rota::saved_identity& identity, const saved_prompt& prompt) {
  atomic_file file(folder.path() + "/" + name);
  rota_lm::save_cache(file, from, identity, prompt);
  file.commit();
  return folder.path() + "/" + name;
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

std::size_t files_in(const std::string& folder) {
  std::size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++n;
  return n;
}

/// Gives a changed file the checksum of what it now says.
void sign(std::string& file) {
  const std::size_t body = file.size() - sizeof(std::uint64_t);
  const std::uint64_t sum = rota::crc64(reinterpret_cast<const std::byte*>(file.data()), body);
  std::memcpy(file.data() + body, &sum, sizeof sum);
}

}  // namespace

TEST_CASE("a loaded cache goes on as the one that was saved, to the last bit") {
  for (const std::string name : rota_lm_test::names) {
    CAPTURE(name);
    const setting s(name);
    const temp_folder folder;
    cache first = compressed(s, rota_lm_test::prefix);
    const saved_prompt prompt{"a prompt\n", {1.5f, -0.0f, 3e30f}};
    const std::string path = write(folder, "cache", first, identity_of(s), prompt);
    CHECK(files_in(folder.path()) == 1);

    const setting other(name);  // as another process would have it
    cache second(other.lm.config());
    const saved_prompt loaded = load_cache(path, identity_of(other), s.rest().size(), second);
    CHECK(loaded.text == prompt.text);
    CHECK(loaded.logits == prompt.logits);
    CHECK(second.next_position() == rota_lm_test::prefix);
    CHECK(second.sealed_bytes() == first.sealed_bytes());
    cache roomy(s.lm.config());
    load_cache(path, identity_of(s), 500, roomy);
    const matrix expected = rota_lm_test::run(other.lm, other.rest(), second);
    CHECK(rota_lm_test::worst(rota_lm_test::run(s.lm, s.rest(), roomy), expected) == 0);
    // Appended tokens are saved as well.
    const std::string later = write(folder, "later", second, identity_of(s), {});
    cache third(s.lm.config());
    load_cache(later, identity_of(s), s.rest().size() + 1, third);
    CHECK(third.next_position() == s.ids.size());
    const std::vector<rota_lm::token_id> next = {s.ids[0]};
    CHECK(rota_lm_test::worst(rota_lm_test::run(s.lm, next, third),
                              rota_lm_test::run(s.lm, next, roomy)) == 0);
  }
}

TEST_CASE("the first process and a second one that loads its file say the same") {
  const setting s("qwen3");
  const temp_folder folder;
  const auto identity = identity_of(s);
  cache first = compressed(s, 20);
  const std::string path = write(folder, "cache", first, identity, {});
  cache second(s.lm.config());
  load_cache(path, identity, 3, second);
  const std::span<const rota_lm::token_id> next = std::span(s.ids).subspan(20, 3);
  CHECK(rota_lm_test::worst(rota_lm_test::run(s.lm, next, first),
                            rota_lm_test::run(s.lm, next, second)) == 0);
}

TEST_CASE("a file that was cut short or altered is refused, each byte of it") {
  const setting s("llama");
  const temp_folder folder;
  const auto identity = identity_of(s);
  const std::string path = write(folder, "cache", compressed(s, 12), identity, {"p", {1, 2}});
  const std::string good = read(path);
  const auto refused = [&] {
    cache into(s.lm.config());
    const std::string message = error_of([&] { load_cache(path, identity, 4, into); });
    return !message.empty() && one_line_with(message, path) && into.layers() == 0;
  };
  const auto patch = [&](std::size_t at, char byte) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  };
  CHECK_FALSE(refused());
  for (std::size_t at = 0; at < good.size(); ++at) {
    patch(at, static_cast<char>(good[at] ^ static_cast<char>(1 + at % 255)));
    if (!refused()) FAIL("altered byte ", at);
    patch(at, good[at]);
  }
  CHECK_FALSE(refused());
  for (std::size_t size = good.size(); size-- > 0;) {
    std::filesystem::resize_file(path, size);
    if (!refused()) FAIL("cut to ", size);
  }
  folder.write("cache", good + std::string(64, '\0'));
  CHECK(refused());
}

TEST_CASE("lies under a right checksum are refused, or change nothing") {
  const setting s("mistral");
  const temp_folder folder;
  const auto identity = identity_of(s);
  const std::string path = write(folder, "cache", compressed(s, 12), identity, {"p", {1, 2}});
  const std::string good = read(path);
  int refused = 0;
  for (std::size_t at = 0; at < 400; ++at) {
    for (const int byte : {0, 1, 0x40, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(byte);
      sign(bad);
      folder.write("cache", bad);
      cache into(s.lm.config());
      const std::string message = error_of([&] { load_cache(path, identity, 4, into); });
      CHECK(one_line_with(message, ""));
      refused += !message.empty();
      CHECK(into.layers() == (message.empty() ? s.lm.config().layers : 0));
    }
  }
  CHECK(refused > 500);
}

TEST_CASE("files of other policies and other models are refused by name") {
  const setting s("llama"), stranger("mistral");
  const temp_folder folder;
  const auto identity = identity_of(s);
  const std::string path = write(folder, "cache", compressed(s, 12), identity, {});
  const auto message = [&](const setting& who, const rota::saved_identity& expected) {
    cache into(who.lm.config());
    return error_of([&] { load_cache(path, expected, 4, into); });
  };
  CHECK(message(s, identity).empty());
  half::params p = halves();
  p.protect.sinks = 3;
  CHECK(one_line_with(message(s, {half::fingerprint(p), identity.model}), "other policies"));
  CHECK(one_line_with(message(s, {identity.policies, rota_lm::model_tag(stranger.lm)}),
                      "another model"));
  CHECK_FALSE(message(stranger, identity).empty());
  CHECK(one_line_with(error_of([&] {
                        cache into(s.lm.config());
                        load_cache(folder.path() + "/nowhere", identity, 4, into);
                      }),
                      "cannot open"));
  folder.write("text", std::string(500, 'x'));
  CHECK(one_line_with(error_of([&] {
                        cache into(s.lm.config());
                        load_cache(folder.path() + "/text", identity, 4, into);
                      }),
                      "not a cache file"));
}

TEST_CASE("the tag of a model is the weights' own") {
  const setting a("llama"), same("llama"), b("qwen2");
  CHECK(rota_lm::model_tag(a.lm) == rota_lm::model_tag(same.lm));
  CHECK(rota_lm::model_tag(a.lm) != rota_lm::model_tag(b.lm));
  rota_lm::model_weights tuned = a.lm.weights();
  for (float& w : rota_lm::values(tuned.layers[1].v.weight)) w *= 1.01f;
  CHECK(rota_lm::model_tag(a.lm) !=
        rota_lm::model_tag(rota_lm::model(a.lm.config(), std::move(tuned))));
}

TEST_CASE("a file is whole or not there") {
  const temp_folder folder;
  const std::string path = folder.write("file", "old");
  const std::string fresh = "new contents";
  const auto bytes = std::as_bytes(std::span(fresh));
  {
    atomic_file file(path);
    file.write(bytes);
    CHECK(read(path) == "old");
  }
  CHECK(read(path) == "old");  // never committed
  CHECK(files_in(folder.path()) == 1);
  {
    atomic_file file(path);
    file.write(bytes);
    file.commit();
  }
  CHECK(read(path) == fresh);
  CHECK(files_in(folder.path()) == 1);
  CHECK(one_line_with(error_of([&] { atomic_file(folder.path() + "/no/such"); }),
                      "cannot be written"));
  CHECK(one_line_with(error_of([&] { atomic_file file(folder.path()); }), "is a folder"));
}
