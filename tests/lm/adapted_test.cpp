// Adapted models end to end: trained, saved, loaded, run through the packed store.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "results/adaptation_run.hpp"
#include "temp_folder.hpp"

using namespace rota_lm;
using namespace rota_lm::results;
using rota_lm_test::error_of;
using rota_lm_test::one_line_with;
using rota_lm_test::temp_folder;

namespace {

adaptation_setting tiny(const std::string& journal) {
  adaptation_setting s;
  s.model = std::string(rota_own::source_dir()) + "/examples/lm/checkpoints/rota-synth";
  s.journal = journal;
  s.adapt_words = {"--prefix",       "64", "--continuation", "32",
                   "--calibrate-at", "96", "--batch",        "2"};
  s.evaluate_words = {"--context", "256"};
  s.steps = 3;
  s.samples = 2;
  s.masked_samples = 2;
  return s;
}

finished_adaptation run(const adaptation_spec& spec, const adaptation_setting& s) {
  std::filesystem::create_directories(s.journal + "/" + spec.key());
  std::ostringstream log;
  return run_adaptation(spec, s, log);
}

}  // namespace

TEST_CASE("an adapted model loses the same through the packed store as with masks") {
  const temp_folder folder;
  for (const adaptation_spec& spec :
       {adaptation_spec{"static", plain_lora, "mean", "identity", "none"},
        adaptation_spec{"value_norm", plain_lora, "zero", "pca", "none"},
        adaptation_spec{"fixed_k", routed_lora, "mean", "identity", "shared"},
        adaptation_spec{"adaptive_span", plain_lora, "low_rank", "pca", "hierarchical"},
        adaptation_spec{"adaptive_span", routed_lora, "low_rank", "identity", "per_head"},
        adaptation_spec{"entropy_span", plain_lora, "zero", "identity", "per_head"}}) {
    const finished_adaptation f = run(spec, tiny(folder.path()));
    CAPTURE(spec.key());
    REQUIRE(f.points.size() == independent_rhos.size());
    for (const adapted_point& p : f.points) {
      CAPTURE(p.rho);
      // The packed store has keys and values of bf16, the masked pass of float: a hundredth of a
      // nat while the model is far from its domain, more where the choice depends on them too.
      CHECK(std::abs(p.packed_less_masked) < (spec.method == "static" ? 0.01 : 0.05));
      CHECK(std::abs(p.rho_kept - p.rho) < 0.15);
    }
    CHECK(f.points.back().kv_bytes_ratio < 0.75 * f.points.front().kv_bytes_ratio);
    CHECK(std::abs(std::log(f.points.back().perplexity / f.points.front().perplexity)) > 0.1);
  }
}

TEST_CASE("a finished adaptation is read, not run again, and never taken for another") {
  const temp_folder folder;
  const adaptation_spec spec{"fixed_k", plain_lora};
  adaptation_setting s = tiny(folder.path());
  const finished_adaptation first = run(spec, s);
  std::ostringstream log;
  const finished_adaptation again = run_adaptation(spec, s, log);
  CHECK(log.str().empty());
  REQUIRE(again.points.size() == first.points.size());
  CHECK(again.parameters == first.parameters);
  for (std::size_t i = 0; i < first.points.size(); ++i) {
    CHECK(again.points[i].perplexity == first.points[i].perplexity);
    CHECK(again.points[i].kv_bytes_ratio == first.points[i].kv_bytes_ratio);
  }
  s.samples = 1;
  CHECK(one_line_with(error_of([&] { run_adaptation(spec, s, log); }), "of another run"));
}

TEST_CASE("a run that was stopped between training and measuring gives the same figures") {
  const temp_folder folder;
  const adaptation_spec spec{"adaptive_span", plain_lora};
  const adaptation_setting s = tiny(folder.path());
  const finished_adaptation first = run(spec, s);
  std::filesystem::remove(s.journal + "/" + spec.key() + "/outcome.json");
  const finished_adaptation again = run(spec, s);
  for (std::size_t i = 0; i < first.points.size(); ++i)
    CHECK(again.points[i].perplexity == first.points[i].perplexity);
}

TEST_CASE("a run that was measured at other shares is measured again, not trained again") {
  const temp_folder folder;
  adaptation_spec spec{"value_norm", plain_lora, "zero", "identity", "none", "every", 1, true};
  const adaptation_setting s = tiny(folder.path());
  const std::filesystem::path state = s.journal + "/" + spec.key() + "/state";
  const finished_adaptation brief = run(spec, s);
  REQUIRE(brief.points.size() == 2);

  const auto long_ago = std::filesystem::last_write_time(state) - std::chrono::hours(1);
  std::filesystem::last_write_time(state, long_ago);  // training would write it
  spec.brief = false;
  const finished_adaptation whole = run(spec, s);
  CHECK(std::filesystem::last_write_time(state) == long_ago);
  CHECK(whole.seconds == brief.seconds);
  REQUIRE(whole.points.size() == independent_rhos.size());
  for (const adapted_point& b : brief.points) {
    const auto p = std::find_if(whole.points.begin(), whole.points.end(),
                                [&](const adapted_point& w) { return w.rho == b.rho; });
    REQUIRE(p != whole.points.end());
    CHECK(p->perplexity == b.perplexity);
  }

  // The file has all shares now: without its state it is read still, at the shares asked for.
  std::filesystem::remove(state);
  CHECK(run(spec, s).points.size() == independent_rhos.size());
  spec.brief = true;
  CHECK(run(spec, s).points.size() == 2);
}

TEST_CASE("a run of fewer shares whose state is gone is refused, not trained again") {
  const temp_folder folder;
  adaptation_spec spec{"value_norm", plain_lora, "zero", "identity", "none", "every", 1, true};
  const adaptation_setting s = tiny(folder.path());
  run(spec, s);
  std::filesystem::remove(s.journal + "/" + spec.key() + "/state");
  spec.brief = false;
  CHECK(one_line_with(error_of([&] { run(spec, s); }), "its state is gone"));
}
