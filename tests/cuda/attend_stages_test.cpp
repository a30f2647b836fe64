#include "cuda/attend_case.hpp"

// Attention takes as many places for tiles as the device's shared memory has.

namespace {

using rota::bf16;
using rota::errc;
using rota::index_t;
using rota_test::attend_shape;
using rota_test::gpu;

using layout = rota::cuda::packed<bf16, 16>;
using store_type = layout::store_type;

constexpr double tolerance = 4e-3;

rota::cuda::device_traits device_with(int block_kilobytes) {
  rota::cuda::device_traits d;
  d.shared_bytes = block_kilobytes * 1024;
  d.reserved_shared_bytes = 1024;
  d.multiprocessor_shared_bytes = d.shared_bytes + 1024;
  return d;
}

template <class Store, bool Bulk, int Extras = 0>
rota::cuda::detail::stage_plan planned(int kilobytes, const rota::record_shape& shape) {
  using namespace rota::cuda;
  constexpr fill_sums fill = Extras > 0 ? fill_sums::codes : fill_sums::none;
  using kernel = attend_kernel<detail::source_type<Store>, attend_form<128, 1, fill, Extras, Bulk>>;
  return detail::stage_plan::of<kernel>(device_with(kilobytes), shape);
}

/// Stages and blocks of a plan as one number.
int code(const rota::cuda::detail::stage_plan& p) {
  return 10 * p.stages + static_cast<int>(p.blocks);
}

TEST_CASE("stages and blocks that fit") {
  using dense = rota::dense_store<bf16>;
  using floats = rota::cuda::packed_store<float, 16>;
  constexpr rota::codec_sizes two = rota::codec_traits<bf16>::sizes;
  const rota::record_shape rows{128, 128, 128, two, 0}, codes{128, 128, 16, two, 32};
  const rota::record_shape wide{128, 128, 16, rota::codec_traits<float>::sizes, 0};
  CHECK(code(planned<dense, false>(227, rows)) == 32);
  CHECK(code(planned<dense, false>(163, rows)) == 22);  // three, but then for one block
  CHECK(code(planned<dense, false>(99, rows)) == 31);
  CHECK(code(planned<dense, false>(64, rows)) == 1);
  CHECK(code(planned<store_type, true, 4>(227, codes)) == 32);
  CHECK(code(planned<store_type, false, 4>(99, codes)) == 21);
  CHECK(code(planned<floats, true>(227, wide)) == 31);
  CHECK(code(planned<floats, false>(163, wide)) == 21);
  CHECK(code(planned<floats, false>(99, wide)) == 1);
}

/// The error over a packed store where a block may have so much shared memory; -1 where that is
/// refused. All tiles of two heads.
double error_with(std::uint64_t seed, int architecture, index_t shared_bytes) {
  attend_shape s;
  s.tokens = 700;
  const rota_test::packed_case<layout> c(41, s);
  const gpu g(seed, architecture);
  rota_test::device_store<layout> store(c.packed_shape(), s.tokens);
  c.fill(g, store);
  const rota_test::device_item<store_type> item(c.queries, store.store, s.queries,
                                                s.kv_heads * s.group);
  rota::cuda::backend b = g.backend();
  b.device.shared_bytes = static_cast<int>(shared_bytes);
  const rota::status got = rota_test::run_attend(b, std::vector{item.item}, {});
  REQUIRE(g.result().ok());
  if (got == errc::unsupported) return -1;
  REQUIRE(got.ok());
  return item.error(store.to_host().store, {});
}

TEST_CASE("two places for tiles, with both ways of copying") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    for (const int architecture : {80, 90}) {
      const double error = error_with(seed, architecture, 48 * 1024);
      CHECK(error >= 0);
      CHECK(error < tolerance);
    }
  });
  CHECK(error_with(0, 80, 24 * 1024) == -1);
  CHECK(error_with(0, 90, 24 * 1024) == -1);
}

#if !defined(__CUDACC__)
TEST_CASE("heads of 128 on devices with less shared memory") {
  attend_shape s;
  s.d = 128;
  s.kv_heads = 1;
  s.tokens = 200;
  s.rank = 32;
  for (const int architecture : {86, 89})
    CHECK(rota_test::packed_case<layout>(42, s).error(0, architecture) < tolerance);
  CHECK(rota_test::packed_case<layout>(42, s).error(1, 80) < tolerance);
  s.rank = 0;
  CHECK(rota_test::packed_case<rota::cuda::packed<float, 16>>(43, s).error(0, 80) < 2e-6);
}
#endif

}  // namespace
