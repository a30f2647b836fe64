#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include <doctest/doctest.h>

#include <rota/score/critical.hpp>
#include <rota/score/key_diff.hpp>
#include <rota/score/lag_kv.hpp>
#include <rota/score/observed_attention.hpp>
#include <rota/score/query_statistics.hpp>
#include <rota/score/reference.hpp>
#include <rota/score/snapkv.hpp>
#include <rota/score/tova.hpp>

#include "support/golden.hpp"
#include "support/policies.hpp"
#include "support/scoring.hpp"

// Scores that kvpress computed (tests/goldens/README.md) against ours: 1e-4 of the largest score,
// and the kept sets where the gap at the threshold is above 1e-5 relative.

using namespace rota;
using namespace rota_test;

namespace {

const char* const files[] = {"llama_g2_n96", "qwen2_g1_n130", "llama3rope_g4_n61", "qwen3_g2_n40"};

struct golden_layer {
  golden_file file;
  index_t n, d, q_heads, kv_heads;
  std::vector<float> keys, values, queries, frequencies, moments;
  std::vector<float> covariance;
  aligned_memory statistics_memory;
  query_statistics statistics;
  std::vector<float> rotated;  ///< queries after RoPE, [n, q_heads, d]
  std::vector<float> o_proj;
  context<f32, window_queries, query_moments, rope_frequencies, output_projection> c;

  explicit golden_layer(const std::string& name)
      : file("kvpress/" + name + ".safetensors"),
        n(file.integers("shape")[0]),
        d(file.integers("shape")[1]),
        q_heads(file.integers("shape")[2]),
        kv_heads(file.integers("shape")[3]),
        keys(file.floats("keys")),
        values(file.floats("values")),
        queries(file.floats("queries_pre_rope")),
        frequencies(file.floats("inv_freq")),
        covariance(static_cast<std::size_t>(q_heads * d * d)),
        statistics_memory(query_statistics::memory_bytes(q_heads, d)) {
    // Theirs are [heads, n, d]: a matter of strides.
    c.keys = view<const float, 3>(keys.data(), {n, kv_heads, d}, {d, n * d, 1});
    c.values = view<const float, 3>(values.data(), {n, kv_heads, d}, {d, n * d, 1});
    c.inverse_frequencies = view<const float, 1>(frequencies.data(), d / 2);
    c.scale = file.floats("attention_scaling")[0];
    o_proj = file.floats("o_proj");
    const auto hidden = static_cast<index_t>(o_proj.size()) / (q_heads * d);
    c.weights = view<const float, 3>(o_proj.data(), hidden, q_heads, d);
  }

  void gather(index_t skip) {
    REQUIRE(statistics.start(q_heads, d, statistics_memory.workspace(), skip).ok());
    const index_t cut = n / 3;  // in two parts, as a chunked prefill would
    REQUIRE(statistics.update(rows(0, cut)).ok());
    REQUIRE(statistics.update(rows(cut, n - cut)).ok());
    REQUIRE(statistics.finish(view<float, 3>(covariance.data(), q_heads, d, d), c).ok());
  }
  /// The last `count` queries, after RoPE at positions n - count .. n - 1.
  void ask(index_t count) {
    rotated.assign(static_cast<std::size_t>(count * q_heads * d), 0.0f);
    for (index_t i = 0; i < count; ++i)
      for (index_t h = 0; h < q_heads; ++h)
        for (index_t k = 0; k < d / 2; ++k) {
          const double angle =
              static_cast<double>(n - count + i) * double{frequencies[static_cast<std::size_t>(k)]};
          const float* const q = queries.data() + (h * n + n - count + i) * d;
          float* const out = rotated.data() + (i * q_heads + h) * d;
          const double x = double{q[k]}, y = double{q[k + d / 2]}, scale = double{c.scale};
          out[k] = static_cast<float>(scale * (x * std::cos(angle) - y * std::sin(angle)));
          out[k + d / 2] = static_cast<float>(scale * (y * std::cos(angle) + x * std::sin(angle)));
        }
    c.queries = view<const float, 3>(rotated.data(), count, q_heads, d);
  }
  view<const float, 3> rows(index_t first, index_t count) const {
    return view<const float, 3>(queries.data() + first * d, {count, q_heads, d}, {d, n * d, 1});
  }

  /// Compares outside the first `padded` and the last `padded_end` tokens.
  void compare(const std::string& scorer, const std::vector<float>& got, index_t padded,
               index_t padded_end = 0) const {
    const std::vector<float> theirs = file.floats(scorer + ".scores");
    std::vector<float> mine, want;
    for (index_t h = 0; h < kv_heads; ++h)
      for (index_t i = padded; i < n - padded_end; ++i) {
        mine.push_back(got[static_cast<std::size_t>(h * n + i)]);
        want.push_back(theirs[static_cast<std::size_t>(h * n + i)]);
      }
    CHECK(relative_difference(mine, want) < 1e-4);
    compare_kept(scorer, got, theirs);
  }

  void compare_kept(const std::string& scorer, const std::vector<float>& got,
                    const std::vector<float>& theirs) const {
    const std::vector<std::int64_t> kept = file.integers(scorer + ".kept");
    const auto keep = kept.size() / static_cast<std::size_t>(kv_heads);
    for (std::size_t h = 0; h < static_cast<std::size_t>(kv_heads); ++h) {
      const auto length = static_cast<std::size_t>(n);
      std::vector<float> sorted(theirs.begin() + static_cast<std::ptrdiff_t>(h * length),
                                theirs.begin() + static_cast<std::ptrdiff_t>((h + 1) * length));
      std::sort(sorted.rbegin(), sorted.rend());
      const double gap = double{sorted[keep - 1]} - double{sorted[keep]};
      if (gap <= 1e-5 * std::abs(double{sorted[keep - 1]})) continue;
      std::vector<std::int64_t> order(length);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        return got[h * length + static_cast<std::size_t>(a)] >
               got[h * length + static_cast<std::size_t>(b)];
      });
      std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep));
      for (std::size_t i = 0; i < keep; ++i) CHECK(order[i] == kept[h * keep + i]);
    }
  }
};

}  // namespace

TEST_CASE("expected attention equals kvpress") {
  for (const char* name : files) {
    golden_layer g(name);
    for (const char* variant :
         {"default", "no_cov", "no_vnorm", "no_cov_no_vnorm", "eps", "future_sink"}) {
      const std::string scorer = std::string("expected_attention.") + variant;
      if (!g.file.has(scorer + ".scores")) continue;
      CAPTURE(name);
      CAPTURE(variant);
      const std::vector<float> theirs = g.file.floats(scorer + ".params");
      expected_attention::params p;
      p.future_positions = static_cast<index_t>(theirs[0]);
      p.sinks = static_cast<index_t>(theirs[1]);
      p.use_covariance = theirs[2] != 0;
      p.use_value_norm = theirs[3] != 0;
      p.epsilon = theirs[4];
      g.gather(p.sinks);
      g.compare(scorer, token_scores(expected_attention{}, p, g.c, 2), p.sinks);
    }
  }
}

TEST_CASE("query statistics equal kvpress's moments") {
  for (const char* name : files) {
    golden_layer g(name);
    CAPTURE(name);
    g.gather(static_cast<index_t>(g.file.floats("expected_attention.default.params")[1]));
    const std::vector<float> mean(g.c.mean.data, g.c.mean.data + g.q_heads * g.d);
    CHECK(relative_difference(mean, g.file.floats("expected_attention.default.mu")) < 1e-5);
    CHECK(relative_difference(g.covariance, g.file.floats("expected_attention.default.cov")) <
          1e-5);
    // The reference's mean rotation is theirs too.
    const std::vector<double> rope = reference::mean_rope(g.c, g.d, g.n, 512);
    CHECK(relative_difference(g.file.floats("expected_attention.default.mean_rotation"), rope) <
          1e-5);
  }
}

TEST_CASE("key norm and KeyDiff equal kvpress") {
  for (const char* name : files) {
    golden_layer g(name);
    CAPTURE(name);
    g.compare("key_norm", token_scores(key_norm{}, {}, g.c), 0);
    g.compare("key_diff", token_scores(key_diff{}, {}, g.c), 0);
  }
}

TEST_CASE("TOVA and SnapKV equal kvpress") {
  for (const char* name : files) {
    golden_layer g(name);
    CAPTURE(name);
    g.ask(1);
    g.compare("tova", token_scores(tova{}, {}, g.c, 2), 0, 1);
    const std::vector<float> theirs = g.file.floats("snapkv.params");
    snapkv::params p;
    p.window = static_cast<index_t>(theirs[0]);
    p.kernel = static_cast<index_t>(theirs[1]);
    g.ask(p.window);
    g.compare("snapkv", token_scores(snapkv{}, p, g.c, 2), 0, p.window);
    g.ask(std::min(g.n, p.window + 7));  // more queries than it asks for
    g.compare("snapkv", token_scores(snapkv{}, p, g.c, 2), 0, p.window);
  }
}

TEST_CASE("LagKV equals kvpress, ranked and raw") {
  for (const char* name : files) {
    golden_layer g(name);
    for (const char* variant : {"lagkv", "lagkv_raw"}) {
      CAPTURE(name);
      CAPTURE(variant);
      const std::vector<float> theirs = g.file.floats(std::string(variant) + ".params");
      lag_kv::params p;
      p.sinks = static_cast<index_t>(theirs[0]);
      p.lag = static_cast<index_t>(theirs[1]);
      p.ranked = std::string(variant) == "lagkv";
      g.compare(variant, token_scores(lag_kv{}, p, g.c, 2), 0);
    }
  }
}

TEST_CASE("observed attention equals kvpress") {
  for (const char* name : files) {
    golden_layer g(name);
    CAPTURE(name);
    g.ask(g.n);
    g.compare("observed_attention", token_scores(observed_attention{}, {}, g.c, 2), 0);
  }
}

namespace {

/// The first stage's scores are the largest float, there and here: they must be the same tokens,
/// and would hide all others.
void compare_critical(const golden_layer& g, const std::string& variant, std::vector<float> got) {
  std::vector<float> theirs = g.file.floats(variant + ".scores");
  g.compare_kept(variant, got, theirs);
  constexpr float first = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK((got[i] == first) == (theirs[i] == first));
    if (theirs[i] == first) got[i] = theirs[i] = 0;
  }
  CHECK(relative_difference(got, theirs) < 1e-4);
}

template <class Params>
void set_stages(Params& p, const std::vector<float>& theirs) {
  p.keep = static_cast<index_t>(theirs[0]);
  p.first_share = double{theirs[1]};
  p.epsilon = theirs[2];
}

}  // namespace

TEST_CASE("CriticalKV equals kvpress, over key norm and Expected Attention") {
  for (const char* name : files) {
    golden_layer g(name);
    CAPTURE(name);
    critical<key_norm>::params norms;
    set_stages(norms, g.file.floats("critical.key_norm.params"));
    compare_critical(g, "critical.key_norm", token_scores(critical<key_norm>{}, norms, g.c, 2));
    critical<expected_attention>::params expected;
    expected.base.use_value_norm = false;
    set_stages(expected, g.file.floats("critical.expected.params"));
    g.gather(expected.base.sinks);
    compare_critical(g, "critical.expected",
                     token_scores(critical<expected_attention>{}, expected, g.c, 2));
  }
}
