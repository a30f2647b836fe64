#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <rota/core/online_softmax.hpp>
#include <rota/core/workspace.hpp>

#include "support/memory.hpp"

using namespace rota;

TEST_CASE("more than can be addressed is never enough, and does not wrap") {
  alignas(64) std::byte some[64];
  for (const std::int64_t n : {INT64_MAX, INT64_MAX / 8, std::int64_t{-1}, INT64_MIN}) {
    carver count;
    CHECK(count.take<double>(n) == nullptr);
    CHECK(count.take<double>(4) == nullptr);
    CHECK(count.bytes() == SIZE_MAX);
    carver from(workspace{some, sizeof some});
    CHECK(from.take<double>(n) == nullptr);
    CHECK(from.check() == errc::workspace_too_small);
  }
  carver thrice;
  for (int i = 0; i < 3; ++i) thrice.take<char>(INT64_MAX / 2);
  CHECK(thrice.bytes() == SIZE_MAX);
}

TEST_CASE("counting and carving run the same code") {
  const auto take = [](carver& c) {
    c.take<char>(1);
    c.take<double>(0);
    return c.take<std::int64_t>(9);
  };
  carver count;
  CHECK(take(count) == nullptr);
  CHECK(count.check().ok());
  CHECK(count.bytes() == 64 + 128);
  const rota_test::aligned_memory memory(count.bytes());
  carver exact(memory.workspace());
  CHECK(reinterpret_cast<std::byte*>(take(exact)) == memory.data() + 64);
  CHECK(exact.check().ok());
}

TEST_CASE("a workspace that is short, misaligned or null is refused by name") {
  const rota_test::aligned_memory memory(256);
  const auto check = [&](workspace ws, std::int64_t n) {
    carver c(ws);
    c.take<char>(n);
    return c.check();
  };
  CHECK(check({memory.data(), 64}, 64).ok());
  CHECK(check({memory.data(), 63}, 64) == errc::workspace_too_small);
  CHECK(check({memory.data() + 1, 128}, 64) == errc::workspace_too_small);
  CHECK(check({nullptr, 128}, 64) == errc::workspace_too_small);
  CHECK(std::string(check({nullptr, 0}, 1).argument) == "ws");
  CHECK(check({nullptr, 0}, 0).ok());  // nothing needed, nothing asked
}

TEST_CASE("partial softmax results merge, empty ones too") {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const auto m = merge_log_sum_exp(1.0, 2.0);
  CHECK(m.lse == doctest::Approx(std::log(std::exp(1.0) + std::exp(2.0))));
  CHECK(m.a + m.b == doctest::Approx(1));
  CHECK(m.b / m.a == doctest::Approx(std::exp(1.0)));
  const auto one = merge_log_sum_exp(none, 3.0);
  CHECK((one.a == 0 && one.b == 1 && one.lse == 3.0));
  const auto empty = merge_log_sum_exp(none, none);
  CHECK((empty.a == 0 && empty.b == 0 && empty.lse == none));
  CHECK(softmax_state<double>{}.log_sum_exp() == none);
  CHECK(softmax_state<double>{2, 1}.log_sum_exp() == 2);
}
