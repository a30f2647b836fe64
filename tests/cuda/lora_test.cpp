#include <rota/cuda/lora.cuh>
#include <rota/lora/reference.hpp>

#include "cuda/gpu.hpp"
#include "support/lora_case.hpp"

namespace {

using rota::bf16;
using rota::errc;
using rota::f16;
using rota::index_t;
using rota_test::device_array;
using rota_test::gpu;
using rota_test::random_source;

/// One adapter and its tokens, on the host and in device memory.
template <rota::lora_form Form, rota::element E>
struct device_lora {
  index_t n, in, out;
  rota_test::adapter<E> host;
  rota_test::lora_tokens tokens;
  device_array<E> down, up, router;
  device_array<float> bias, x, y, logits;
  rota::lora_item<E> item;

  device_lora(random_source& rng, index_t tokens_, index_t in_, index_t out_, index_t rank)
      : n(tokens_),
        in(in_),
        out(out_),
        host(rng, in, out, rank, Form::subspaces),
        tokens(rng, n, in, out, Form::subspaces),
        down(host.down),
        up(host.up),
        router(host.router),
        bias(host.bias),
        x(tokens.x),
        y(tokens.y),
        logits(static_cast<std::size_t>(n * Form::subspaces)) {
    item = {host.weights, {}, {}, {}};
    item.weights.down.data = down.data();
    item.weights.up.data = up.data();
    item.weights.router.data = router.data();
    if (!item.weights.router_bias.empty()) item.weights.router_bias.data = bias.data();
    item.x = rota::view<const float, 2>(x.data(), n, in);
    item.y = rota::view<float, 2>(y.data(), n, out);
    if (Form::routed) item.logits = rota::view<float, 2>(logits.data(), n, Form::subspaces);
  }

  /// The largest error of a row of y over the row's largest value. The reference chooses by the
  /// device's logits, which must be right too.
  double error() const {
    const std::vector<float> got = y.download(), z = logits.download();
    double worst = 0;
    for (index_t t = 0; t < n; ++t) {
      const float* const row = tokens.x.data() + t * in;
      const float* const own = Form::routed ? z.data() + t * Form::subspaces : nullptr;
      const auto want = rota::reference::lora_of_token<Form>(host.weights, row, own);
      double top = 1e-6, off = 0;
      for (index_t j = 0; j < out; ++j) {
        const auto at = static_cast<std::size_t>(t * out + j);
        const double sum = static_cast<double>(tokens.y[at]) + want.y[static_cast<std::size_t>(j)];
        top = std::fmax(top, std::fabs(sum));
        const double difference = std::fabs(static_cast<double>(got[at]) - sum);
        off = difference != difference ? INFINITY : std::fmax(off, difference);
      }
      worst = std::fmax(worst, off / top);
      if (!Form::routed) continue;
      const auto exact = rota::reference::lora_of_token<Form>(host.weights, row);
      for (std::size_t i = 0; i < exact.logits.size(); ++i)
        worst = std::fmax(worst, std::fabs(static_cast<double>(exact.logits[i] - own[i])) / 10);
    }
    return worst;
  }
};

template <rota::lora_form Form, rota::element E>
rota::status run(const gpu& g, std::span<const rota::lora_item<E>> batch) {
  const rota_test::device_workspace ws(
      rota::cuda::add_lora_workspace_bytes<Form>(g.backend(), batch));
  const rota::status s = rota::cuda::add_lora<Form>(g.backend(), batch, ws.get());
  if (s.ok()) REQUIRE(g.result().ok());
  return s;
}

template <rota::lora_form Form, rota::element E>
double error_of(std::uint64_t seed, std::uint64_t schedule, index_t n, index_t in, index_t out,
                index_t rank) {
  random_source rng(seed);
  const device_lora<Form, E> l(rng, n, in, out, rank);
  const gpu g(schedule);
  const rota::status s = run<Form, E>(g, {&l.item, 1});
  CAPTURE(std::string(s.argument));
  REQUIRE(s.ok());
  return l.error();
}

constexpr double tolerance = 5e-5;

TEST_CASE("adapters follow their double reference") {
  rota_test::for_each_schedule([](std::uint64_t schedule) {
    CHECK(error_of<rota::routed_lora<8, 2>, bf16>(1, schedule, 100, 72, 90, 64) < tolerance);
    CHECK(error_of<rota::plain_lora, float>(2, schedule, 65, 36, 20, 5) < tolerance);
  });
  CHECK(error_of<rota::routed_lora<4, 3, rota::sigmoid_gate>, f16>(3, 0, 70, 12, 130, 36) <
        tolerance);
  CHECK(error_of<rota::routed_lora<4, 4>, float>(4, 1, 5, 64, 64, 80) < tolerance);
  CHECK(error_of<rota::routed_lora<2, 1>, bf16>(5, 2, 64, 8, 8, 140) < tolerance);
  CHECK(error_of<rota::routed_lora<8, 1>, bf16>(6, 3, 1, 128, 64, 8) < tolerance);
  CHECK(error_of<rota::routed_lora<200, 2>, float>(7, 0, 33, 16, 16, 200) < tolerance);
}

TEST_CASE("more tokens than a block lists") {
  CHECK(error_of<rota::routed_lora<4, 2>, float>(11, 1, 1030, 8, 24, 8) < tolerance);
}

TEST_CASE("all tokens that choose one subspace, ties and NaN") {
  random_source rng(8);
  using form = rota::routed_lora<4, 2>;
  device_lora<form, float> l(rng, 130, 8, 8, 8);
  l.router.upload(std::vector<float>(32, 0.0f));  // all logits are the bias: equal
  l.bias.upload({1, 1, 1, 1});
  l.item.weights.router_bias = rota::view<const float, 1>(l.bias.data(), 4);
  const gpu g(1);
  REQUIRE(run<form, float>(g, {&l.item, 1}).ok());
  std::vector<float> zeros(32, 0.0f), ones(4, 1.0f);
  auto weights = l.host.weights;
  weights.router.data = zeros.data();
  weights.router_bias = rota::view<const float, 1>(ones.data(), 4);
  const std::vector<float> got = l.y.download();
  for (index_t t = 0; t < l.n; ++t) {
    const auto want = rota::reference::lora_of_token<form>(weights, l.tokens.x.data() + t * l.in);
    REQUIRE(want.chosen == std::vector<int>{0, 1});
    for (index_t j = 0; j < l.out; ++j)
      CHECK(
          static_cast<double>(got[static_cast<std::size_t>(t * l.out + j)]) ==
          doctest::Approx(static_cast<double>(l.tokens.y[static_cast<std::size_t>(t * l.out + j)]) +
                          want.y[static_cast<std::size_t>(j)])
              .epsilon(1e-4));
  }
}

TEST_CASE("sequences with adapters of their own in one call, outputs in columns of one array") {
  random_source rng(9);
  using form = rota::routed_lora<4, 2>;
  device_lora<form, bf16> a(rng, 20, 16, 24, 16), b(rng, 20, 16, 40, 8), none(rng, 0, 16, 8, 8);
  const device_array<float> both(std::vector<float>(20 * 64, 0.5f));
  a.item.y = rota::view<float, 2>(both.data(), 20, 24);
  b.item.y = rota::view<float, 2>(both.data() + 24, 20, 40);
  a.item.y.stride[0] = b.item.y.stride[0] = 64;
  const std::vector<rota::lora_item<bf16>> batch{a.item, none.item, b.item};
  const gpu g(2);
  REQUIRE(run<form, bf16>(g, batch).ok());
  const std::vector<float> got = both.download(), z = b.logits.download();
  for (index_t t = 0; t < 20; ++t) {
    const auto want = rota::reference::lora_of_token<form>(
        b.host.weights, b.tokens.x.data() + t * 16, z.data() + t * 4);
    for (index_t j = 0; j < 40; ++j)
      CHECK(static_cast<double>(got[static_cast<std::size_t>(t * 64 + 24 + j)]) - 0.5 ==
            doctest::Approx(want.y[static_cast<std::size_t>(j)]).epsilon(1e-3));
  }
}

TEST_CASE("adapters refuse what does not fit, outputs untouched") {
  random_source rng(10);
  using form = rota::routed_lora<4, 2>;
  const device_lora<form, bf16> l(rng, 6, 8, 8, 8);
  const auto refused = [&](auto&& spoil) {
    rota::lora_item<bf16> item = l.item;
    spoil(item);
    const gpu g;
    const rota_test::device_workspace ws(1 << 16);
    const rota::status s = rota::cuda::add_lora<form>(g.backend(), item, ws.get());
    CHECK(l.y.download() == l.tokens.y);
    return s;
  };
  using item = rota::lora_item<bf16>;
  CHECK(refused([](item& i) { i.y.extent[1] = 7; }) == errc::bad_shape);
  CHECK(refused([](item& i) { i.weights.down.extent[0] = 6; }) == errc::bad_count);
  CHECK(refused([](item& i) { i.x.stride[0] = 9; }) == errc::bad_alignment);
  CHECK(refused([](item& i) { i.x.data = nullptr; }) == errc::null_view);
  CHECK(refused([&](item& i) { i.weights.up.data = l.host.up.data(); }) == errc::wrong_memory);
  CHECK(refused([](item& i) { i.logits.data = i.y.data; }) == errc::overlapping_memory);
  CHECK(refused([](item& i) { i.logits.extent[1] = 3; }) == errc::bad_shape);
  const gpu g;
  const rota_test::device_workspace small(64);
  CHECK(rota::cuda::add_lora<form>(g.backend(), l.item, small.get()) == errc::workspace_too_small);
  CHECK(rota::cuda::add_lora<form>(g.backend(), l.item, {l.y.data(), 1 << 20}) ==
        errc::overlapping_memory);
}

}  // namespace
