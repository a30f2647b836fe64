#include <doctest/doctest.h>

#include <rota/cpu/pack/means.hpp>
#include <rota/store/layouts.hpp>

#include "support/random_layer.hpp"

using namespace rota;
using namespace rota_test;

TEST_CASE("the mean of the dropped slices is taken over survivors that drop the group, only") {
  // Three tokens of 2 groups of 4; token 1 does not survive; token 0 drops group 1, token 2 both.
  const std::vector<float> keys(3 * 4), values{1, 1, 1, 1, 2, 2, 2, 2,  //
                                               9, 9, 9, 9, 9, 9, 9, 9,  //
                                               3, 3, 3, 3, 8, 8, 8, 8};
  context<f32> ctx;
  ctx.keys = view(keys.data(), 3, 1, 4);
  ctx.values = view(values.data(), 3, 1, 8);
  random_source rng(1);
  random_selection sel(rng, 3, 1, 2, 0, 0);
  sel.kept.counts(0) = 2;
  sel.kept.indices(0, 0) = 0;
  sel.kept.indices(0, 1) = 2;
  sel.kept.masks(0, 0) = 1;
  sel.kept.masks(0, 1) = 0;
  const packed_shape shape = packed<f32, 4>::shape(1, 4, 8, {}, 1, true);
  double sums[8];
  float means[8];
  cpu::mean_of_dropped(shape, cpu::rows_of(ctx, 0), sel.kept, 0, sums, means);
  for (int c = 0; c < 4; ++c) CHECK(means[c] == 3.0f);
  for (int c = 4; c < 8; ++c) CHECK(means[c] == 5.0f);

  sel.kept.masks(0, 0) = 3;
  sel.kept.masks(0, 1) = 3;
  cpu::mean_of_dropped(shape, cpu::rows_of(ctx, 0), sel.kept, 0, sums, means);
  for (float m : means) CHECK(m == 0.0f);
}
