// The dense cache that stands on Rota, against the plain one.
#include "engine/dense_cache.hpp"

#include <cstddef>
#include <string>

#include <doctest/doctest.h>

#include "cache_setting.hpp"
#include "engine/plain_cache.hpp"
#include "temp_folder.hpp"

namespace {

using rota_lm::dense_cache;
using rota_lm::matrix;
using rota_lm::plain_cache;
using rota_lm_test::error_of;
using rota_lm_test::names;
using rota_lm_test::one_line_with;
using rota_lm_test::prefix;
using rota_lm_test::run;
using rota_lm_test::setting;
using rota_lm_test::worst;

}  // namespace

TEST_CASE("a dense Rota cache gives the plain cache's logits") {
  for (const std::string name : names) {
    CAPTURE(name);
    const setting s(name);
    plain_cache plain(s.lm.config());
    const matrix expected = run(s.lm, s.ids, plain);
    dense_cache<float> whole(s.lm.config(), s.ids.size());
    CHECK(worst(run(s.lm, s.ids, whole), expected) < 1e-4f);
    dense_cache<float> parts(s.lm.config(), s.ids.size());
    run(s.lm, s.context(), parts);
    const matrix rest = run(s.lm, s.rest(), parts);
    CHECK(worst(rest, expected.bottomRows(rest.rows())) < 1e-4f);
    dense_cache<rota::f16> half(s.lm.config(), s.ids.size());
    CHECK(worst(run(s.lm, s.ids, half), expected) < 0.1f);
    dense_cache<rota::bf16> brief(s.lm.config(), s.ids.size());
    CHECK(worst(run(s.lm, s.ids, brief), expected) < 0.5f);
  }
}

TEST_CASE("a dense cache is full when it is full, and forgets") {
  const setting s("llama");
  dense_cache<float> cache(s.lm.config(), prefix);
  const matrix first = run(s.lm, s.context(), cache);
  CHECK(one_line_with(error_of([&] { run(s.lm, s.rest(), cache); }), "tail of the store is full"));
  cache.truncate(10);
  CHECK(cache.next_position() == 10);
  CHECK(worst(run(s.lm, s.context().subspan(10), cache), first.bottomRows(prefix - 10)) < 1e-4f);
  CHECK_FALSE(error_of([&] { cache.truncate(prefix + 1); }).empty());
}
