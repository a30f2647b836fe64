#include "cuda/attend_case.hpp"

// Attention over packed stores of other widths, elements, orders and fills.

namespace {

using rota::bf16;
using rota::f16;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::dense_case;
using rota_test::packed_case;

/// Largest relative error that rounding to 16 bits may cause.
constexpr double tolerance = 4e-3;

template <int W, class E = bf16>
using packed = rota::cuda::packed<E, W>;

TEST_CASE("heads of 128, wide and narrow groups, both elements") {
  attend_shape s;
  s.d = 128;
  CHECK(dense_case<f16>(3, s).error(0, 90) < tolerance);
  CHECK(packed_case<packed<8>>(3, s).error(0, 90) < tolerance);
  CHECK(packed_case<packed<16>>(4, s).error(1, 90) < tolerance);
  CHECK(packed_case<packed<32, f16>>(5, s).error(2, 80) < tolerance);
  CHECK(packed_case<rota::cuda::packed<bf16, 16, rota::cuda::in_order>>(7, s).error(3, 90) <
        tolerance);
}

TEST_CASE("fills") {
  for (const int architecture : {80, 90}) {
    attend_shape s;
    s.means = true;
    CHECK(packed_case<packed<8>>(8, s).error(0, architecture) < tolerance);
    s.means = false;
    for (const index_t rank : {8, 32, 40}) {
      s.rank = rank;
      CHECK(packed_case<packed<16>>(9, s).error(1, architecture) < tolerance);
    }
  }
}

#if !defined(__CUDACC__)
TEST_CASE("keys are read without conflicts of banks, values nearly so") {
  const auto ratio = [](auto layout, double keep) {
    attend_shape s;
    s.d = 128;
    s.tokens = 640;
    s.tail = 0;
    s.keep_tokens = 1;
    s.keep_groups = keep;
    const simt::bank_counts banks = packed_case<decltype(layout)>(21, s).banks(90);
    return static_cast<double>(banks.wavefronts) / static_cast<double>(banks.phases);
  };
  CHECK(ratio(packed<16>{}, 1) == 1);     // whole records
  CHECK(ratio(packed<16>{}, 0) < 1.01);   // keys, and the same zeros for all
  CHECK(ratio(packed<16>{}, 0.5) < 1.7);  // half of the phases are keys
  CHECK(ratio(rota::cuda::packed<bf16, 16, rota::cuda::in_order>{}, 1) == 8);
}
#endif

}  // namespace
