// Intervals and the memory that is counted.
#include <cmath>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include "evaluate/counting_memory.hpp"
#include "evaluate/decode_timing.hpp"
#include "evaluate/level.hpp"
#include "evaluate/statistics.hpp"
#include "temp_folder.hpp"

namespace {

using namespace rota_lm::eval;

std::vector<outcome> hits(std::size_t right, std::size_t wrong) {
  std::vector<outcome> out(right, {1, 1});
  out.insert(out.end(), wrong, {0, 1});
  return out;
}

}  // namespace

TEST_CASE("Wilson's interval") {
  // 8 of 10: the textbook's 0.4902 to 0.9433.
  const interval x = wilson(8, 10);
  CHECK(x.low == doctest::Approx(0.4902).epsilon(1e-3));
  CHECK(x.high == doctest::Approx(0.9433).epsilon(1e-3));
  CHECK(wilson(0, 50).low == 0);
  CHECK(wilson(0, 50).high > 0.01);
  CHECK(wilson(50, 50).high == 1);
  CHECK(wilson(0, 0).high == 1);
}

TEST_CASE("accuracies and perplexities") {
  CHECK(accuracy(hits(3, 1)).value == 0.75);
  CHECK_FALSE(accuracy({}).known());
  // Samples weigh by their tokens: 30 nats over 20 tokens.
  const std::vector<outcome> losses = {{10, 10}, {20, 10}};
  const estimate x = perplexity(losses, 1);
  CHECK(x.value == doctest::Approx(std::exp(1.5)));
  CHECK(x.range.low == doctest::Approx(std::exp(1.0)));
  CHECK(x.range.high == doctest::Approx(std::exp(2.0)));
}

TEST_CASE("the bootstrap is seeded, and near the normal interval") {
  const auto sample = hits(120, 80);
  const auto mean = [](double x) { return x; };
  const auto zero = hits(0, 200);
  const estimate a = paired_difference(sample, zero, 7, mean);
  const estimate b = paired_difference(sample, zero, 7, mean);
  CHECK(a.range.low == b.range.low);
  CHECK(a.value == doctest::Approx(0.6));
  const double half = z95 * std::sqrt(0.6 * 0.4 / 200);
  CHECK(a.range.low == doctest::Approx(0.6 - half).epsilon(0.03));
  CHECK(a.range.high == doctest::Approx(0.6 + half).epsilon(0.03));
  // Equal outcomes differ by nothing, however they vary.
  CHECK(paired_difference(sample, sample, 7, mean).range.low == 0);
  CHECK(paired_difference(sample, sample, 7, mean).range.high == 0);
  CHECK_FALSE(paired_difference(sample, hits(1, 1), 7, mean).known());
}

TEST_CASE("the median of rounds") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(std::isnan(median({})));
}

TEST_CASE("a threshold keeps what it was calibrated to keep") {
  const std::vector<float> scores = {5, 1, 4, 2, 3};
  CHECK(threshold_for(scores, 2) == 4);
  CHECK(threshold_for(scores, 5) == -INFINITY);
  CHECK(threshold_for(scores, 0.5) == INFINITY);
}

TEST_CASE("dense memory that outlives its time is found out") {
  counting_memory memory;
  memory.packed_row_decodes();
  CHECK(memory.dense_bytes_while_packed_decodes() == 0);
  {
    const rota_lm::cache_buffer dense(128, &memory.dense);
    const rota_lm::cache_buffer packed(64, &memory.packed);
    CHECK(memory.dense.live_bytes() == 128);
    CHECK(memory.packed.live_bytes() == 64);
    CHECK(rota_lm_test::one_line_with(rota_lm_test::error_of([&] { memory.packed_row_decodes(); }),
                                      "128 bytes of dense cache"));
  }
  CHECK(memory.dense_bytes_while_packed_decodes() == 128);
  CHECK(memory.dense.live_bytes() == 0);
  memory.packed_row_decodes();
  CHECK(memory.checks() == 3);
}

TEST_CASE("paired accuracies: Newcombe's interval and McNemar's exact test") {
  const auto pairs = [](int both, int first, int second, int neither) {
    std::vector<outcome> a, b;
    const auto add = [&](int count, double x, double y) {
      for (int i = 0; i < count; ++i) {
        a.push_back({x, 1});
        b.push_back({y, 1});
      }
    };
    add(both, 1, 1);
    add(first, 1, 0);
    add(second, 0, 1);
    add(neither, 0, 0);
    return paired_hits(a, b);
  };
  // The example of Newcombe 1998 (table II), method 10.
  const estimate d = paired_difference(pairs(36, 12, 2, 0));
  CHECK(d.value == doctest::Approx(0.2));
  CHECK(d.range.low == doctest::Approx(0.0569).epsilon(0.001));
  CHECK(d.range.high == doctest::Approx(0.3404).epsilon(0.001));
  // Rows that never differ: no width would claim what 20 samples cannot.
  const estimate same = paired_difference(pairs(20, 0, 0, 0));
  CHECK(same.value == 0);
  CHECK(same.range.low < -0.05);
  CHECK(same.range.high > 0.05);
  // The order of the rows turns the sign.
  const estimate turned = paired_difference(pairs(36, 2, 12, 0));
  CHECK(turned.range.low == doctest::Approx(-d.range.high));
  CHECK(turned.range.high == doctest::Approx(-d.range.low));

  CHECK(mcnemar_exact(pairs(5, 0, 0, 5)) == 1);
  CHECK(mcnemar_exact(pairs(9, 6, 0, 2)) == doctest::Approx(2.0 / 64));
  CHECK(mcnemar_exact(pairs(9, 1, 5, 2)) == doctest::Approx(2 * 7.0 / 64));
  CHECK(mcnemar_exact(pairs(0, 3, 3, 0)) == 1);
}
