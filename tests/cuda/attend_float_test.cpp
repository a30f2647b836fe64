#include "cuda/attend_case.hpp"

namespace {

using rota::index_t;
using rota_test::attend_shape;
using rota_test::dense_case;
using rota_test::packed_case;
using rota_test::paged_case;

template <int W, class E>
using packed = rota::cuda::packed<E, W>;

TEST_CASE("stores of floats, nearly without error") {
  constexpr double float_tolerance = 2e-6;
  attend_shape s;
  s.tokens = 150;
  CHECK(dense_case<float>(19, s).error(0, 80) < float_tolerance);
  CHECK(paged_case<float>(20, s, 16).error(1) < float_tolerance);
  s.params.sliding_window = 60;
  s.queries = 6;
  CHECK(packed_case<packed<8, float>>(21, s).error(2, 90) < float_tolerance);
  s.means = true;
  CHECK(packed_case<packed<4, float>>(22, s).error(3, 80) < float_tolerance);
  s.means = false;
  s.rank = 8;
  CHECK(packed_case<packed<16, float>>(23, s).error(0, 90) < float_tolerance);
  s.rank = 0;
  s.d = 128;
  CHECK(packed_case<packed<16, float>>(24, s).error(1, 90) < float_tolerance);
}

}  // namespace
