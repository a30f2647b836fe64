#include <doctest/doctest.h>

#include <rota/train/schedule.hpp>

using rota::train::warmup_cosine;

TEST_CASE("the rate rises in a line, falls by a half cosine and stays at its end") {
  const warmup_cosine course{10, 110, 0.1};
  CHECK(course(1) == doctest::Approx(0.1));
  CHECK(course(5) == doctest::Approx(0.5));
  CHECK(course(10) == doctest::Approx(1));
  CHECK(course(60) == doctest::Approx(0.55));  // half way down
  CHECK(course(110) == doctest::Approx(0.1));
  CHECK(course(500) == doctest::Approx(0.1));
  for (int step = 11; step < 110; ++step) CHECK(course(step + 1) < course(step));
}

TEST_CASE("without warm-up the first step is near the peak; all warm-up never divides by zero") {
  CHECK(warmup_cosine{0, 1000, 0}(1) == doctest::Approx(1).epsilon(1e-4));
  CHECK(warmup_cosine{10, 10, 0}(10) == doctest::Approx(1));
  CHECK(warmup_cosine{10, 5, 0}(12) == doctest::Approx(0));
}
