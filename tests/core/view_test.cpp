#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/core/status.hpp>
#include <rota/core/types.hpp>
#include <rota/core/view.hpp>

using namespace rota;

namespace {
std::vector<float> memory(1000);
view<float, 2> strided(index_t rows, index_t columns, index_t row_stride, index_t stride = 1) {
  return view<float, 2>(memory.data(), {rows, columns}, {row_stride, stride});
}
}  // namespace

TEST_CASE("views that no memory can hold are refused") {
  float one = 0;
  for (const index_t huge : {INT64_MAX, INT64_MAX / 4, index_t{1} << 62}) {
    CHECK(check_view(view<float, 2>(&one, {huge, 3}, {3, 1}), "x") == errc::bad_shape);
    CHECK(check_view(view<float, 2>(&one, 2, huge), "x") == errc::bad_shape);
    CHECK(check_view(view<float, 2>(&one, {3, 1}, {huge, 1}), "x") == errc::bad_shape);
  }
  CHECK(check_view(view<float, 2>(&one, {INT64_MAX, 1}, {0, 1}), "x").ok());
}

TEST_CASE("a contiguous view is row-major") {
  const view<float, 3> v(memory.data(), 2, 3, 4);
  CHECK(v.stride[0] == 12);
  CHECK(v.stride[1] == 4);
  CHECK(v.stride[2] == 1);
  CHECK(&v(1, 2, 3) == memory.data() + 23);
  CHECK(v.row(1, 2) == memory.data() + 20);
  const view<const float, 3> readable = v;
  CHECK(&readable(1, 2, 3) == &v(1, 2, 3));
}

TEST_CASE("offsets are 64 bits wide") {
  const view<float, 2> v(nullptr, {3, 4}, {index_t{1} << 33, 1});
  index_t offset = 0;
  for (int i = 0; i < 2; ++i)
    offset += (v.extent[static_cast<std::size_t>(i)] - 1) * v.stride[static_cast<std::size_t>(i)];
  CHECK(offset == (index_t{1} << 34) + 3);
}

TEST_CASE("check_view") {
  CHECK(check_view(strided(3, 4, 10), "v").ok());
  CHECK(check_view(strided(3, 4, 0), "v").ok());  // a repeated row may be read
  CHECK(check_view(strided(3, 1, 5, 9), "v").ok());
  CHECK(check_view(view<float, 2>(nullptr, 0, 4), "v").ok());
  CHECK(check_view(view<float, 2>(nullptr, 3, 4), "v") == errc::null_view);
  CHECK(check_view(strided(-1, 4, 4), "v") == errc::bad_shape);
  CHECK(check_view(strided(3, 4, -4), "v") == errc::bad_stride);
  CHECK(check_view(strided(3, 4, 10, 2), "v") == errc::bad_stride);
  CHECK(std::string(check_view(strided(-1, 4, 4), "name").argument) == "name");
}

TEST_CASE("check_output refuses rows that meet") {
  CHECK(check_output(strided(3, 4, 4), "v").ok());
  CHECK(check_output(strided(3, 4, 3), "v") == errc::bad_stride);
  CHECK(check_output(strided(3, 4, 0), "v") == errc::bad_stride);
  CHECK(check_output(strided(1, 4, 0), "v").ok());
  // Any order of dimensions, interleaved rows too.
  CHECK(check_output(view<float, 3>(memory.data(), {2, 3, 4}, {4, 8, 1}), "v").ok());
  CHECK(check_output(view<float, 3>(memory.data(), {2, 3, 4}, {4, 7, 1}), "v") == errc::bad_stride);
}

TEST_CASE("overlap of ranges") {
  const byte_range a = range_of(strided(2, 4, 10));  // floats 0 .. 13
  CHECK(overlaps(a, range_of(view<float, 1>(memory.data() + 13, 5))));
  CHECK_FALSE(overlaps(a, range_of(view<float, 1>(memory.data() + 14, 5))));
  CHECK_FALSE(overlaps(a, range_of(view<float, 1>(memory.data(), 0))));
  CHECK_FALSE(overlaps(a, range_of(view<float, 1>(nullptr, 5))));
}

TEST_CASE("every status code has a sentence") {
  for (int code = 0; code <= static_cast<int>(errc::bad_position); ++code)
    CHECK(std::string(describe(static_cast<errc>(code))) != "unknown");
  CHECK(std::string(describe(static_cast<errc>(250))) == "unknown");
  const status ok;
  CHECK((ok.ok() && static_cast<bool>(ok) && std::string(ok.argument).empty()));
  const status bad(errc::bad_ratio, "ratio");
  CHECK((!bad.ok() && bad == errc::bad_ratio));
}

TEST_CASE("group widths, masks and protection") {
  CHECK(legal_group_width(64, 16, 2));
  CHECK(legal_group_width(64, 4, 4));
  CHECK_FALSE(legal_group_width(64, 4, 2));   // 8 bytes
  CHECK_FALSE(legal_group_width(64, 24, 2));  // does not divide
  CHECK_FALSE(legal_group_width(256, 8, 2));  // 32 groups
  CHECK_FALSE(legal_group_width(64, 0, 2));
  CHECK_FALSE(legal_group_width(0, 16, 2));
  CHECK_FALSE(legal_group_width(64, -16, 2));
  CHECK(full_mask(1) == 1);
  CHECK(full_mask(16) == 0xffff);
  const protection p{2, 3};
  CHECK(p.count(10) == 5);
  CHECK(p.count(4) == 4);
  int covered = 0;
  for (index_t i = 0; i < 10; ++i) covered += p.covers(i, 10);
  CHECK(covered == 5);
  CHECK((p.covers(1, 10) && !p.covers(2, 10) && !p.covers(6, 10) && p.covers(7, 10)));
}
