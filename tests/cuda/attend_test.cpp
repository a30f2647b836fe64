#include <rota/attend/reference.hpp>
#include <rota/cuda/attend.cuh>

#include "cuda/attend_case.hpp"

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::dense_case;
using rota_test::gpu;
using rota_test::packed_case;

TEST_CASE("one query over a dense store") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    attend_shape s;
    CHECK(dense_case<bf16>(1, s).error(seed, 80) < 4e-3);
  });
}

TEST_CASE("one query over a packed store") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    attend_shape s;
    for (const int architecture : {80, 90})
      CHECK(packed_case<rota::cuda::packed<bf16, 8>>(1, s).error(seed, architecture) < 4e-3);
  });
}

}  // namespace
