#include <cmath>
#include <cstring>
#include <limits>

#include <rota/cuda/merge.cuh>

#include "cuda/gpu.hpp"
#include "support/random.hpp"

// Merging partial results in device memory, against the CPU's merge().

namespace {

using rota::bf16;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota::partial_attention;
using rota::view;
using rota_test::device_array;
using rota_test::gpu;
using rota_test::random_source;

constexpr float infinity = std::numeric_limits<float>::infinity();

struct extents {
  index_t tokens, heads, columns;
  index_t rows() const { return tokens * heads; }
  index_t size() const { return rows() * columns; }
};

/// A part on the host and in device memory.
template <class T>
struct part {
  extents at;
  std::vector<T> out_host;
  std::vector<float> lse_host;
  device_array<T> out;
  device_array<float> lse;

  part(random_source& rng, const extents& e)
      : at(e),
        out_host(static_cast<std::size_t>(e.size())),
        lse_host(static_cast<std::size_t>(e.rows())),
        out(out_host.size()),
        lse(lse_host.size()) {
    for (T& x : out_host) x = T(rng.normal());
    for (float& x : lse_host) x = 6 * rng.normal();
    upload();
  }
  void upload() {
    out.upload(out_host);
    lse.upload(lse_host);
  }
  partial_attention<T> written() const {
    return {view<T, 3>(out.data(), at.tokens, at.heads, at.columns),
            view<float, 2>(lse.data(), at.tokens, at.heads)};
  }
  partial_attention<const T> read() const { return {written().out, written().lse}; }
  partial_attention<const T> host() const {
    return {view<const T, 3>(out_host.data(), at.tokens, at.heads, at.columns),
            view<const float, 2>(lse_host.data(), at.tokens, at.heads)};
  }
};

/// What the CPU makes of two parts.
struct answer {
  std::vector<float> out, lse;

  template <class T>
  answer(const part<T>& a, const part<T>& b) : out(a.out_host.size()), lse(a.lse_host.size()) {
    const partial_attention<float> to{
        view<float, 3>(out.data(), a.at.tokens, a.at.heads, a.at.columns),
        view<float, 2>(lse.data(), a.at.tokens, a.at.heads)};
    REQUIRE(rota::merge(a.host(), b.host(), to).ok());
  }
  /// Of what the device made; infinite where one is NaN or infinite and the other is not.
  double error(const part<float>& got) const {
    return std::fmax(difference(out, got.out.download()), difference(lse, got.lse.download()));
  }

 private:
  static double difference(const std::vector<float>& want, const std::vector<float>& got) {
    double worst = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double w = static_cast<double>(want[i]), g = static_cast<double>(got[i]);
      if (w == g || (std::isnan(w) && std::isnan(g))) continue;
      const double apart = std::fabs(w - g) / std::fmax(1.0, std::fabs(w));
      worst = std::fmax(worst, std::isfinite(apart) ? apart : HUGE_VAL);
    }
    return worst;
  }
};

constexpr double tolerance = 4e-6;

template <class T>
void check_merge(std::uint64_t seed, const extents& e) {
  random_source rng(3);
  const part<T> a(rng, e), b(rng, e);
  const part<float> result(rng, e);
  const gpu g(seed);
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), result.written()).ok());
  REQUIRE(g.result().ok());
  CHECK(answer(a, b).error(result) < tolerance);
}

TEST_CASE("two parts, of every element and any size") {
  rota_test::for_each_schedule([](std::uint64_t seed) {
    check_merge<float>(seed, {3, 2, 64});
    check_merge<bf16>(seed, {1, 5, 33});
  });
  check_merge<f16>(0, {2, 3, 128});
  check_merge<float>(1, {5, 1, 300});
  check_merge<float>(2, {1, 1, 1});
  check_merge<bf16>(3, {0, 4, 64});
  check_merge<float>(0, {2, 3, 0});
}

TEST_CASE("in place, into either part") {
  const extents e{3, 3, 70};
  rota_test::for_each_schedule([&](std::uint64_t seed) {
    for (const bool first : {true, false}) {
      random_source rng(4);
      const part<float> a(rng, e), b(rng, e);
      const answer want(a, b);
      const part<float>& result = first ? a : b;
      const gpu g(seed);
      REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), result.written()).ok());
      REQUIRE(g.result().ok());
      CHECK(want.error(result) < tolerance);
    }
  });
  random_source rng(5);
  const part<bf16> a(rng, e), b(rng, e), other(rng, e);
  const gpu g;
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), other.written()).ok());
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), b.written()).ok());
  REQUIRE(g.result().ok());
  const std::vector<bf16> x = b.out.download(), y = other.out.download();
  CHECK(std::memcmp(x.data(), y.data(), x.size() * sizeof(bf16)) == 0);
}

TEST_CASE("a result of halves is a result of floats, rounded") {
  const extents e{3, 3, 70};
  random_source rng(6);
  const part<float> a(rng, e), b(rng, e), floats(rng, e);
  const part<bf16> halves(rng, e);
  const gpu g;
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), floats.written()).ok());
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), halves.written()).ok());
  REQUIRE(g.result().ok());
  const std::vector<float> x = floats.out.download();
  const std::vector<bf16> y = halves.out.download();
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i].bits == bf16(x[i]).bits);
  CHECK(floats.lse.download() == halves.lse.download());
}

TEST_CASE("parts that saw nothing, or NaN, or far more than the other") {
  const extents e{8, 1, 40};
  random_source rng(7);
  part<float> a(rng, e), b(rng, e);
  const part<float> result(rng, e);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto row_of = [](part<float>& p, int i, float lse, float value) {
    p.lse_host[static_cast<std::size_t>(i)] = lse;
    std::fill_n(p.out_host.begin() + i * 40, 40, value);
  };
  row_of(a, 0, -infinity, nan);  // nothing seen: what lies there is not asked
  row_of(b, 1, -infinity, nan);
  row_of(a, 2, -infinity, nan), row_of(b, 2, -infinity, infinity);
  row_of(a, 3, nan, nan);
  row_of(a, 4, nan, 1), row_of(b, 4, -infinity, 0);
  row_of(a, 5, 90, 2), row_of(b, 5, -90, 3);
  row_of(a, 6, -3e38f, 2), row_of(b, 6, 3e38f, 3);
  a.upload();
  b.upload();
  const gpu g;
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), result.written()).ok());
  REQUIRE(g.result().ok());
  CHECK(answer(a, b).error(result) < tolerance);
  const std::vector<float> out = result.out.download(), lse = result.lse.download();
  CHECK(lse[0] == b.lse_host[0]);
  CHECK(lse[1] == a.lse_host[1]);
  CHECK(lse[2] == -infinity);
  for (std::size_t c = 0; c < 40; ++c) {
    CHECK(out[c] == b.out_host[c]);
    CHECK(out[40 + c] == a.out_host[40 + c]);
    CHECK(out[80 + c] == 0);
    CHECK(std::isnan(out[120 + c]));
    CHECK(std::isnan(out[160 + c]));
    CHECK(out[200 + c] == 2);
    CHECK(out[240 + c] == 3);
  }
}

TEST_CASE("views with holes") {
  const extents e{2, 3, 20};
  random_source rng(8);
  const part<float> a(rng, e), b(rng, e);
  const part<float> wide(rng, {2, 3, 23});
  const std::vector<float> before = wide.out_host;
  partial_attention<float> result = wide.written();
  result.out.extent[2] = 20;
  const gpu g;
  REQUIRE(rota::cuda::merge(g.backend(), a.read(), b.read(), result).ok());
  REQUIRE(g.result().ok());
  const answer want(a, b);
  const std::vector<float> got = wide.out.download();
  for (std::size_t row = 0; row < 6; ++row) {
    for (std::size_t c = 0; c < 20; ++c)
      CHECK(std::fabs(got[row * 23 + c] - want.out[row * 20 + c]) < 1e-5f);
    for (std::size_t c = 20; c < 23; ++c) CHECK(got[row * 23 + c] == before[row * 23 + c]);
  }
}

/// Two parts and a result, all of them good.
struct good {
  static constexpr extents e{2, 4, 8};
  random_source rng{9};
  part<float> a{rng, e}, b{rng, e}, r{rng, e};
  partial_attention<const float> x = a.read(), y = b.read();
  partial_attention<float> to = r.written();
};

TEST_CASE("what is refused") {
  const gpu g;
  std::vector<float> host(64);
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    good c;
    spoil(c);
    const rota::status s = rota::cuda::merge(g.backend(), c.x, c.y, c.to);
    CAPTURE(argument);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    for (const part<float>* p : {&c.a, &c.b, &c.r}) {
      CHECK(p->out.download() == p->out_host);
      CHECK(p->lse.download() == p->lse_host);
    }
  };
  refused(errc::null_view, "a.out", [](good& c) { c.x.out.data = nullptr; });
  refused(errc::null_view, "b.lse", [](good& c) { c.y.lse.data = nullptr; });
  refused(errc::null_view, "result.lse", [](good& c) { c.to.lse.data = nullptr; });
  refused(errc::bad_shape, "a.lse", [](good& c) { c.x.lse.extent[1] = 3; });
  refused(errc::bad_shape, "b", [](good& c) { c.y.out.extent[2] = 7; });
  refused(errc::bad_shape, "result", [](good& c) { c.to.out.extent[0] = 1; });
  refused(errc::bad_stride, "b.out", [](good& c) { c.y.out.stride[2] = 2; });
  refused(errc::bad_stride, "result.out", [](good& c) { c.to.out.stride[1] = 7; });
  refused(errc::overlapping_memory, "result.out",
          [](good& c) { c.to.out.data = c.a.out.data() + 8; });
  refused(errc::overlapping_memory, "result.out", [](good& c) {
    c.to.out = {c.b.out.data(), {2, 4, 8}, {8, 16, 1}};  // the same memory in another order
  });
  refused(errc::overlapping_memory, "result.lse", [](good& c) { c.to.lse.data = c.a.out.data(); });
  refused(errc::overlapping_memory, "result.lse", [](good& c) { c.to.lse.data = c.r.out.data(); });
  refused(errc::wrong_memory, "a.out", [&](good& c) { c.x.out.data = host.data(); });
  refused(errc::wrong_memory, "b.lse", [&](good& c) { c.y.lse.data = host.data(); });
  refused(errc::wrong_memory, "result.out", [&](good& c) { c.to.out.data = host.data(); });
  refused(errc::bad_alignment, "a.lse", [](good& c) {
    c.x.lse.data = reinterpret_cast<const float*>(reinterpret_cast<const char*>(c.x.lse.data) + 2);
  });
  refused(errc::bad_alignment, "result.out", [](good& c) {
    c.to.out.data = reinterpret_cast<float*>(reinterpret_cast<char*>(c.to.out.data) + 2);
  });
}

TEST_CASE("a backend without a fault word") {
  good c;
  const gpu g;
  rota::cuda::backend b = g.backend();
  b.fault = nullptr;
  CHECK(rota::cuda::merge(b, c.x, c.y, c.to) == errc::null_view);
  CHECK(c.r.out.download() == c.r.out_host);
}

TEST_CASE("halves over the floats that they are made of") {
  good c;
  const gpu g;
  const partial_attention<bf16> over{
      view<bf16, 3>(reinterpret_cast<bf16*>(c.a.out.data()), 2, 4, 8), c.r.written().lse};
  const rota::status s = rota::cuda::merge(g.backend(), c.x, c.y, over);
  CHECK(s.code == errc::overlapping_memory);
  CHECK(std::string(s.argument) == "result.out");
}

TEST_CASE("nothing is written on a fault that was reported before") {
  good c;
  const device_array<std::uint32_t> fault(
      std::vector<std::uint32_t>{static_cast<std::uint32_t>(errc::bad_count)});
  const gpu g;
  rota::cuda::backend b = g.backend();
  b.fault = fault.data();
  REQUIRE(rota::cuda::merge(b, c.x, c.y, c.to).ok());
  REQUIRE(g.result().ok());
  CHECK(c.r.out.download() == c.r.out_host);
  CHECK(c.r.lse.download() == c.r.lse_host);
}

}  // namespace
