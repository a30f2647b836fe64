#include <doctest/doctest.h>

#include <rota/attend/merge.hpp>

#include "support/attend_case.hpp"
#include "support/plain_stores.hpp"

namespace {

using namespace rota;
using namespace rota_test;

using store = dense_store<f32>;

partial_attention<float> result_of(attend_case<store>& c) {
  return {c.item.out, c.item.lse};
}
partial_attention<const float> part_of(const attend_case<store>& c) {
  return {c.item.out, c.item.lse};
}

/// The tokens [first, first + length) of a dense store, at their own positions.
store slice(const store& whole, index_t first, index_t length) {
  store s = whole;
  s.keys.data += first * whole.keys.stride[1];
  s.values.data += first * whole.values.stride[1];
  s.keys.extent[1] = s.values.extent[1] = length;
  s.length = length;
  s.first_position = static_cast<position_t>(whole.first_position + first);
  return s;
}

}  // namespace

TEST_CASE("the halves of a split store merge to the whole") {
  random_source rng(1);
  const plain_shape shape{2, 64, 80, 300, 0, false, 16};
  const random_dense<f32> dense(rng, shape);
  // Not causal: both parts then see all queries alike, wherever they end.
  const attend_params params{0, false, 0};
  for (const index_t cut : {0, 1, 137, 299, 300}) {
    const store left = slice(dense.store, 0, cut), right = slice(dense.store, cut, 300 - cut);
    attend_case<store> whole(rng, dense.store, 3, 2), a(rng, left, 3, 2), b(rng, right, 3, 2);
    a.q = b.q = whole.q;
    a.item.q.data = a.q.data();
    b.item.q.data = b.q.data();
    REQUIRE(run_attend(cpu::backend{}, std::vector{whole.item}, params).ok());
    REQUIRE(run_attend(cpu::backend{}, std::vector{a.item}, params).ok());
    REQUIRE(run_attend(cpu::backend{}, std::vector{b.item}, params).ok());
    attend_case<store> merged(rng, dense.store, 3, 2);
    REQUIRE(merge(part_of(a), part_of(b), result_of(merged)).ok());
    merged.item.q = whole.item.q;
    CHECK(error_against_reference(merged.item, params) <= 1e-5);
    // in place
    REQUIRE(merge(part_of(a), part_of(b), result_of(b)).ok());
    CHECK(b.out == merged.out);
    CHECK(b.lse == merged.lse);
  }
}

TEST_CASE("parts that saw nothing, or NaN") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  float a_out = 3, b_out = 0, out = 7, a_lse = 0.5f, b_lse = -inf, lse = 7;
  const auto part = [](const float& o, const float& l) {
    return partial_attention<const float>{view<const float, 3>(&o, 1, 1, 1),
                                          view<const float, 2>(&l, 1, 1)};
  };
  const partial_attention<float> result{view<float, 3>(&out, 1, 1, 1), view<float, 2>(&lse, 1, 1)};
  REQUIRE(merge(part(a_out, a_lse), part(b_out, b_lse), result).ok());
  CHECK(out == 3.0f);
  CHECK(lse == 0.5f);
  REQUIRE(merge(part(b_out, b_lse), part(b_out, b_lse), result).ok());
  CHECK(out == 0.0f);
  CHECK(lse == -inf);
  for (const bool first : {true, false}) {
    a_lse = a_out = nan;
    const auto bad = part(a_out, a_lse), empty = part(b_out, b_lse);
    REQUIRE(merge(first ? bad : empty, first ? empty : bad, result).ok());
    CHECK(std::isnan(out));
    CHECK(std::isnan(lse));
  }
}

TEST_CASE("what a part that saw nothing holds is not asked") {
  const float inf = std::numeric_limits<float>::infinity();
  const float a_out[2] = {std::numeric_limits<float>::quiet_NaN(), inf}, b_out[2] = {2, -3};
  const float a_lse = -inf, b_lse = 0.25f;
  float out[2] = {}, lse = 0;
  const partial_attention<const float> a{view(a_out, 1, 1, 2), view(&a_lse, 1, 1)},
      b{view(b_out, 1, 1, 2), view(&b_lse, 1, 1)};
  const partial_attention<float> result{view(out, 1, 1, 2), view(&lse, 1, 1)};
  for (const bool first : {true, false}) {
    REQUIRE(merge(first ? a : b, first ? b : a, result).ok());
    CHECK(out[0] == 2.0f);
    CHECK(out[1] == -3.0f);
    CHECK(lse == 0.25f);
  }
  REQUIRE(merge(a, a, result).ok());
  CHECK(out[0] == 0.0f);
  CHECK(lse == -inf);
}

TEST_CASE("parts and results of halves") {
  random_source rng(2);
  std::vector<float> x(2 * 3 * 8), y(x.size()), want(x.size()), lse(6), x_lse(6), y_lse(6);
  std::vector<bf16> bx, by, got(x.size());
  for (float& l : x_lse) l = rng.normal();
  for (float& l : y_lse) l = rng.normal();
  for (std::size_t i = 0; i < x.size(); ++i) {
    bx.push_back(bf16(rng.normal()));
    by.push_back(bf16(rng.normal()));
    x[i] = static_cast<float>(bx[i]);
    y[i] = static_cast<float>(by[i]);
  }
  const view<const float, 2> lx(x_lse.data(), 2, 3), ly(y_lse.data(), 2, 3);
  const view<float, 2> l(lse.data(), 2, 3);
  const auto of_floats = [](auto& v) { return view<const float, 3>(v.data(), 2, 3, 8); };
  const auto of_halves = [](auto& v) { return view<const bf16, 3>(v.data(), 2, 3, 8); };
  const partial_attention<const float> fx{of_floats(x), lx}, fy{of_floats(y), ly};
  const partial_attention<const bf16> hx{of_halves(bx), lx}, hy{of_halves(by), ly};
  const partial_attention<bf16> halves{view(got.data(), 2, 3, 8), l};
  REQUIRE(merge(fx, fy, partial_attention<float>{view(want.data(), 2, 3, 8), l}).ok());
  const auto is_rounded = [&](const std::vector<bf16>& v) {
    for (std::size_t i = 0; i < v.size(); ++i) CHECK(v[i].bits == bf16(want[i]).bits);
  };
  REQUIRE(merge(fx, fy, halves).ok());
  is_rounded(got);
  REQUIRE(merge(hx, hy, halves).ok());
  is_rounded(got);
  // In place where the elements are the same, refused where they are not.
  REQUIRE(merge(hx, hy, partial_attention<bf16>{view(by.data(), 2, 3, 8), l}).ok());
  is_rounded(by);
  const view<bf16, 3> over(reinterpret_cast<bf16*>(x.data()), 2, 3, 8);
  CHECK(merge(fx, fy, partial_attention<bf16>{over, l}) == errc::overlapping_memory);
}

TEST_CASE("merging refuses shapes that disagree and results that half overlap") {
  std::vector<float> memory(4096, 1.0f);
  const auto part = [&](float* p) {
    return partial_attention<float>{view<float, 3>(p, 2, 4, 8), view<float, 2>(p + 64, 2, 4)};
  };
  const auto constant = [](const partial_attention<float>& p) {
    return partial_attention<const float>{p.out, p.lse};
  };
  const auto a = part(memory.data()), b = part(memory.data() + 100);
  const std::vector<float> before = memory;
  const auto refused = [&](const auto& x, const auto& y, const auto& r, errc code,
                           const char* argument) {
    const status s = merge(constant(x), constant(y), r);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(memory == before);
  };
  auto spoilt = b;
  spoilt.out.extent[2] = 7;
  refused(a, spoilt, part(memory.data() + 200), errc::bad_shape, "b");
  spoilt = part(memory.data() + 200);
  spoilt.lse.extent[1] = 3;
  refused(a, b, spoilt, errc::bad_shape, "result");
  spoilt = a;
  spoilt.lse.extent[0] = 1;
  refused(spoilt, b, part(memory.data() + 200), errc::bad_shape, "a.lse");
  spoilt = a;
  spoilt.out.data = nullptr;
  refused(spoilt, b, part(memory.data() + 200), errc::null_view, "a.out");
  refused(a, b, part(memory.data() + 8), errc::overlapping_memory, "result.out");
  spoilt = part(memory.data() + 200);
  spoilt.lse.data = memory.data() + 66;
  refused(a, b, spoilt, errc::overlapping_memory, "result.lse");
}
