#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include <rota/store/byte_budget.hpp>

#include "support/random.hpp"

using namespace rota;
using namespace rota_test;

namespace {

packed_shape shape_of(index_t kv_heads, index_t d_k, index_t d_v, index_t width, index_t bytes,
                      value_order order, index_t record_tokens) {
  packed_shape s;
  s.kv_heads = kv_heads;
  s.record = {d_k, d_v, width,
              bytes == 1   ? codec_traits<int8>::sizes
              : bytes == 2 ? codec_traits<bf16>::sizes
                           : codec_traits<float>::sizes};
  s.order = order;
  s.record_tokens = record_tokens;
  return s;
}

/// Sealed bytes by the arithmetic of packing itself, `slices` spread at random over each head.
index_t real_bytes(random_source& rng, const packed_shape& s, index_t tokens, index_t slices,
                   bool lopsided) {
  packed_size size;
  for (index_t h = 0; h < s.kv_heads; ++h) {
    index_t left = slices;
    for (index_t first = 0; first < tokens; first += s.record_tokens) {
      const index_t here = std::min(s.record_tokens, tokens - first);
      const index_t after = (tokens - first - here) * s.record.groups();
      const index_t least = std::max<index_t>(0, left - after);
      const index_t most = std::min(left, here * s.record.groups());
      const index_t own = lopsided ? most : rng.between(least, most);
      ++size.record_count;
      size.record_bytes += record_bytes(s, here, own);
      left -= own;
    }
    REQUIRE(left == 0);
  }
  return static_cast<index_t>(layout_packed(s, size.record_count, size.record_bytes).tail_keys_at);
}

}  // namespace

TEST_CASE("what solve_tokens_for_bytes promises fits, and little is wasted") {
  random_source rng(1);
  for (int round = 0; round < 3000; ++round) {
    const index_t element = rng.pick<index_t>({1, 2, 4});
    const index_t width = (element == 1 ? 16 : 8) * rng.between(1, 4), groups = rng.between(1, 16);
    const auto order = rng.pick<value_order>({value_order::token_major, value_order::group_major});
    byte_problem p;
    p.shape = shape_of(rng.between(1, 4), 8 * rng.between(1, 20), width * groups, width, element,
                       order, rng.pick<index_t>({64, 128}));
    p.shape.has_means = rng.chance(0.5);
    if (!p.shape.has_means) p.shape.record.code_rank = rng.pick<index_t>({0, 1, 8, 20});
    p.tokens = rng.between(0, 2000);
    p.protect = {rng.below(5), rng.below(20)};
    p.rho = rng.chance(0.2) ? 1.0 : rng.uniform();
    p.limit = rng.below(p.shape.kv_heads * (p.tokens + 10) *
                        (p.shape.record.key_bytes() + p.shape.record.value_bytes()));
    index_t tokens = -1;
    const status s = solve_tokens_for_bytes(p, tokens);
    CAPTURE(round);
    if (!s.ok()) {
      CHECK(s.code == errc::budget_too_small);
      CHECK(tokens == -1);
      continue;
    }
    CHECK(tokens >= p.protect.count(p.tokens));
    CHECK(tokens <= p.tokens);
    const auto slices =
        static_cast<index_t>(std::llround(p.rho * static_cast<double>(tokens * groups)));
    CHECK(real_bytes(rng, p.shape, tokens, slices, false) <= p.limit);
    CHECK(real_bytes(rng, p.shape, tokens, slices, true) <= p.limit);
  }
}

TEST_CASE("the slack to the limit is at most one percent at 1024 tokens") {
  random_source rng(2);
  for (const auto order : {value_order::token_major, value_order::group_major})
    for (const double budget : {0.25, 0.375, 0.5, 0.75})
      for (const double rho : {0.5, 1.0}) {
        byte_problem p;
        p.shape = shape_of(2, 64, 64, 16, 2, order, 128);
        p.shape.has_means = true;
        p.tokens = 1024;
        p.protect = {4, 16};
        p.rho = rho;
        const auto dense = static_cast<double>(2 * 1024 * 2 * 64 * 2);
        p.limit = static_cast<index_t>(budget * dense);
        index_t tokens = 0;
        REQUIRE(solve_tokens_for_bytes(p, tokens).ok());
        if (tokens == p.tokens) continue;  // everything fits
        const auto slices =
            static_cast<index_t>(std::llround(rho * static_cast<double>(tokens * 4)));
        const index_t real = real_bytes(rng, p.shape, tokens, slices, false);
        CAPTURE(budget);
        CAPTURE(rho);
        CHECK(real <= p.limit);
        CHECK(static_cast<double>(p.limit - real) <= 0.01 * static_cast<double>(p.limit));
      }
}

TEST_CASE("uneven heads are counted with the records that they may leave half empty") {
  random_source rng(3);
  for (int round = 0; round < 300; ++round) {
    byte_problem p;
    p.shape = shape_of(4, 64, 64, 16, 2, value_order::group_major, 128);
    p.tokens = 700;
    p.rho = rng.uniform();
    p.limit = rng.between(20000, 700000);
    p.even_heads = false;
    index_t tokens = 0;
    if (!solve_tokens_for_bytes(p, tokens)) continue;
    // A random split of the total over the heads, and of the slices over the records.
    index_t left = 4 * tokens;
    packed_size size;
    auto slices = static_cast<index_t>(std::llround(p.rho * static_cast<double>(4 * left)));
    for (index_t h = 0; h < 4; ++h) {
      const index_t own = h == 3 ? left : std::min(left, rng.below(p.tokens + 1));
      left -= own;
      for (index_t first = 0; first < own; first += 128) {
        const index_t here = std::min<index_t>(128, own - first);
        const index_t kept = std::min(slices, here * 4);
        slices -= kept;
        ++size.record_count;
        size.record_bytes += record_bytes(p.shape, here, kept);
      }
    }
    const packed_header header = layout_packed(p.shape, size.record_count, size.record_bytes);
    CHECK(static_cast<index_t>(header.tail_keys_at) <= p.limit);
  }
}

TEST_CASE("byte budgets that make no sense are refused by name") {
  byte_problem good;
  good.shape = shape_of(2, 64, 64, 16, 2, value_order::group_major, 128);
  good.tokens = 1000;
  good.protect = {4, 16};
  good.rho = 0.5;
  good.limit = 100000;
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    byte_problem p = good;
    spoil(p);
    index_t tokens = -7;
    const status s = solve_tokens_for_bytes(p, tokens);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(tokens == -7);
  };
  refused(errc::bad_ratio, "rho", [](byte_problem& p) { p.rho = 1.1; });
  refused(errc::bad_ratio, "rho", [](byte_problem& p) { p.rho = NAN; });
  refused(errc::bad_count, "tokens", [](byte_problem& p) { p.tokens = -1; });
  refused(errc::bad_count, "sinks", [](byte_problem& p) { p.protect.sinks = -1; });
  refused(errc::bad_count, "window", [](byte_problem& p) { p.protect.window = -1; });
  refused(errc::bad_shape, "shape", [](byte_problem& p) { p.shape.kv_heads = 0; });
  refused(errc::bad_count, "record_tokens", [](byte_problem& p) { p.shape.record_tokens = 0; });
  refused(errc::bad_group_width, "d_v", [](byte_problem& p) { p.shape.record.width = 3; });
  refused(errc::budget_too_small, "limit", [](byte_problem& p) { p.limit = 0; });
  refused(errc::budget_too_small, "limit", [](byte_problem& p) { p.limit = -5; });
  refused(errc::budget_too_small, "limit", [](byte_problem& p) { p.rho = 0.001; });
  index_t tokens = -7;
  REQUIRE(solve_tokens_for_bytes(good, tokens).ok());
  CHECK((tokens > 100 && tokens < 1000));
}

TEST_CASE("the largest ratio that fits is found by trying") {
  random_source rng(4);
  for (int round = 0; round < 500; ++round) {
    const index_t per_token = rng.between(1, 300), tokens = rng.between(1, 3000);
    const index_t limit = rng.below(per_token * tokens + 100);
    const double least = rng.chance(0.5) ? 0 : rng.uniform() * 0.5;
    double worst_seen = 0;
    const auto bytes_at = [&](double ratio) {
      return per_token * static_cast<index_t>(std::llround(ratio * static_cast<double>(tokens)));
    };
    const auto measure = [&](double ratio, index_t& bytes) -> status {
      worst_seen = std::max(worst_seen, ratio);
      if (ratio < least) return {errc::budget_too_small, "tokens"};
      bytes = bytes_at(ratio);
      return {};
    };
    double ratio = -1;
    const status s = solve_ratio_for_bytes(limit, measure, ratio);
    int best = -1;
    for (int step = 0; step <= 4096; ++step)
      if (step / 4096.0 >= least && bytes_at(step / 4096.0) <= limit) best = step;
    CAPTURE(round);
    if (best < 0) {
      CHECK(s == errc::budget_too_small);
      CHECK(std::string(s.argument) == "limit");
      CHECK(ratio == -1);
    } else {
      REQUIRE(s.ok());
      CHECK(ratio == best / 4096.0);
    }
    CHECK(worst_seen <= 1);
  }
  double ratio = -1;
  const auto broken = [](double, index_t&) -> status { return {errc::bad_parameter, "x"}; };
  CHECK(solve_ratio_for_bytes(10, broken, ratio) == errc::bad_parameter);
  CHECK(ratio == -1);
}

TEST_CASE(
    "the search for a step needs few tries where bytes are nearly linear, and bounded ones else") {
  const auto tries_for = [](index_t limit, auto&& bytes_at) {
    int tries = 0, step = -1;
    const auto measure = [&](int at, index_t& bytes) -> status {
      ++tries;
      bytes = bytes_at(at);
      return {};
    };
    REQUIRE(largest_step_that_fits(1 << 16, limit, measure, step).ok());
    CHECK(bytes_at(step) <= limit);
    if (step < (1 << 16)) CHECK(bytes_at(step + 1) > limit);
    return tries;
  };
  CHECK(step_search::most_tries(1 << 16) == 20);
  for (const index_t limit : {10'000, 123'456, 400'000, 655'359}) {
    CAPTURE(limit);
    CHECK(tries_for(limit, [](int s) -> index_t { return 10 * s; }) <= 5);
    CHECK(tries_for(limit, [](int s) -> index_t { return 900 + 10 * s - s % 64; }) <= 8);
    CHECK(tries_for(limit, [](int s) -> index_t { return s < 60'000 ? 0 : 1'000'000; }) <=
          step_search::most_tries(1 << 16));
    CHECK(tries_for(limit, [](int s) -> index_t { return index_t{s} * s * s; }) <=
          step_search::most_tries(1 << 16));
  }
}
