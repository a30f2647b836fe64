#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/product/rows_product.cuh>
#include <rota/cuda/select.cuh>

#include "cuda/attend_case.hpp"

// What every mutant must fail at, and the original must pass: one case of each kernel that has been
// mutated, under the schedules that all tests run under.

namespace {

using rota::index_t;
using layout = rota::cuda::packed<rota::bf16, 8>;

TEST_CASE("attention over a packed store") {
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (const int architecture : {80, 90}) {
      rota_test::attend_shape s;
      s.tokens = 700;
      CHECK(rota_test::packed_case<layout>(1, s).error(seed, architecture) < 4e-3);
    }
}

TEST_CASE("selection among ties") {
  constexpr std::int32_t n = 3000, groups = 4;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const rota_test::gpu g(seed);
    const rota_test::device_array<float> scores(std::vector<float>(n * groups, 1.0f));
    const rota_test::device_array<std::int32_t> indices(n), counts(1);
    const rota_test::device_array<rota::group_mask> masks(n);
    rota::select_problem problem;
    problem.tokens = n;
    problem.kv_heads = 1;
    problem.groups = groups;
    const rota::layer_scores in{rota::view<float, 2>(scores.data(), 1, n),
                                rota::view<float, 3>(scores.data(), 1, n, groups)};
    const rota::selection out{rota::view<std::int32_t, 2>(indices.data(), 1, n),
                              rota::view<rota::group_mask, 2>(masks.data(), 1, n),
                              rota::view<std::int32_t, 1>(counts.data(), 1)};
    using rota::keep_ratio;
    const rota_test::device_workspace ws(
        rota::cuda::select_workspace_bytes<keep_ratio, keep_ratio>(g.backend(), {&problem, 1}, 1));
    REQUIRE(rota::cuda::select<keep_ratio, keep_ratio>(g.backend(), problem, {0.5}, {0.5}, in, out,
                                                       ws.get())
                .ok());
    REQUIRE(g.result().ok());
    // The first half of the tokens, and of these the first half whole, the others without a group.
    REQUIRE(counts.download()[0] == n / 2);
    const std::vector<std::int32_t> kept = indices.download();
    const std::vector<rota::group_mask> have = masks.download();
    bool right = true;
    for (std::int32_t i = 0; i < n / 2; ++i) {
      const auto at = static_cast<std::size_t>(i);
      right = right && kept[at] == i && have[at] == (i < n / 4 ? 0xf : 0);
    }
    CHECK(right);
  }
}

TEST_CASE("a product of floats, deeper than a chunk") {
  constexpr index_t n = 70, rows = 5, d = 200;
  rota_test::random_source rng(1);
  std::vector<float> x(n * d), w(rows * d);
  for (float& v : x) v = rng.normal();
  for (float& v : w) v = rng.normal();
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const rota_test::gpu g(seed);
    const rota_test::device_array<float> left(x), right(w), out(n * rows);
    rota::carver count;
    rota::cuda::split_rows::carve(count, 1, rows, d);
    const rota_test::device_workspace ws(count.bytes());
    rota::carver from(ws.get());
    const auto split = rota::cuda::split_rows::carve(from, 1, rows, d);
    const rota::cuda::weight_rows weights(rota::view<const float, 2>(right.data(), rows, d));
    REQUIRE(rota::cuda::launch_split(g.backend(), 1, weights, split).ok());
    REQUIRE(
        rota::cuda::launch_product(g.backend(), {left.data(), d, {n, nullptr}}, split, out.data())
            .ok());
    REQUIRE(g.result().ok());
    const std::vector<float> got = out.download();
    bool right_sums = true;
    for (index_t i = 0; i < n; ++i)
      for (index_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (index_t k = 0; k < d; ++k)
          sum += double{x[static_cast<std::size_t>(i * d + k)]} *
                 double{w[static_cast<std::size_t>(r * d + k)]};
        const double error = static_cast<double>(got[static_cast<std::size_t>(i * rows + r)]) - sum;
        right_sums = right_sums && std::fabs(error) < 1e-3;
      }
    CHECK(right_sums);
  }
}

}  // namespace
