#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/select.cuh>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "cuda/attend_case.hpp"

// What every mutant must fail at, and the original must pass: one case of each kernel that has been
// mutated, under the schedules that all tests run under.

namespace {

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
    using tokens = rota::tokens<rota::key_norm, rota::keep_ratio>;
    using slices = rota::groups<rota::value_norm, rota::keep_ratio>;
    const rota_test::device_workspace ws(
        rota::cuda::select_workspace_bytes<tokens, slices>(g.backend(), {&problem, 1}, 1));
    REQUIRE(rota::cuda::select<tokens, slices>(g.backend(), problem, {{}, {0.5}}, {{}, {0.5}}, in,
                                               out, ws.get())
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

}  // namespace
