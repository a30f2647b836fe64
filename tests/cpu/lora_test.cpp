#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/lora.hpp>
#include <rota/cpu/thread_pool.hpp>
#include <rota/lora/reference.hpp>

#include "support/lora_case.hpp"
#include "support/memory.hpp"

using namespace rota;
using namespace rota_test;

namespace {

template <lora_form Form, element E>
void run(std::span<const lora_item<E>> batch, int threads) {
  cpu::thread_pool pool(threads);
  const cpu::backend b = pool.get_backend();
  const aligned_memory ws(cpu::add_lora_workspace_bytes<Form>(b, batch));
  const status s = cpu::add_lora<Form>(b, batch, ws.workspace());
  REQUIRE_MESSAGE(s.ok(), s.what() << ": " << s.argument);
}
template <lora_form Form, element E>
void run(const lora_item<E>& item, int threads = 1) {
  run<Form>(std::span<const lora_item<E>>(&item, 1), threads);
}

/// Largest difference of a row of y - before to the reference, over the row's largest value.
template <lora_form Form, element E>
double difference(const lora_item<E>& item, const std::vector<float>& before) {
  double worst = 0;
  for (index_t t = 0; t < item.x.extent[0]; ++t) {
    const auto expected = reference::lora_of_token<Form>(
        item.weights, item.x.row(t), item.logits.empty() ? nullptr : item.logits.row(t));
    double top = 1e-6, off = 0;
    for (index_t j = 0; j < item.weights.out(); ++j) {
      const auto at = static_cast<std::size_t>(t * item.weights.out() + j);
      const double y = static_cast<double>(before[at]) + expected.y[static_cast<std::size_t>(j)];
      top = std::max(top, std::abs(y));
      off = std::max(off, std::abs(static_cast<double>(item.y(t, j)) - y));
    }
    worst = std::max(worst, off / top);
    for (std::size_t i = 0; i < expected.logits.size() && !item.logits.empty(); ++i) {
      const double z = reference::lora_of_token<Form>(item.weights, item.x.row(t)).logits[i];
      worst = std::max(worst, std::abs(z - static_cast<double>(expected.logits[i])) / 10);
    }
  }
  return worst;
}

template <lora_form Form, element E>
void check_form(std::uint64_t seed) {
  random_source rng(seed);
  const index_t n = rng.pick<index_t>({0, 1, 2, 5, 64, 65, 150});
  const index_t in = rng.between(1, 90), out = rng.between(1, 90);
  const index_t rank = Form::subspaces * rng.between(1, 9);
  const adapter<E> a(rng, in, out, rank, Form::subspaces);
  lora_tokens t(rng, n, in, out, Form::subspaces);
  lora_item<E> item = t.item(a.weights, n);
  if (Form::routed) item.logits = view<float, 2>(t.logits.data(), n, Form::subspaces);
  const std::vector<float> before = t.y;
  run<Form>(item, static_cast<int>(rng.between(1, 3)));
  CAPTURE(seed);
  CHECK(difference<Form>(item, before) < 1e-5);
}

}  // namespace

TEST_CASE("adapters follow their double reference") {
  for (std::uint64_t seed = 0; seed < 25; ++seed) {
    check_form<plain_lora, float>(seed);
    check_form<plain_lora, bf16>(seed);
    check_form<routed_lora<8, 2>, float>(seed);
    check_form<routed_lora<8, 2>, bf16>(seed);
    check_form<routed_lora<4, 3, sigmoid_gate>, f16>(seed);
    check_form<routed_lora<4, 4>, float>(seed);
    check_form<routed_lora<1, 1>, float>(seed);
  }
}

TEST_CASE("with all subspaces and uniform gates, a routed adapter is a plain one") {
  random_source rng(3);
  const adapter<float> a(rng, 40, 50, 16, 4);
  lora_weights<float> even = a.weights;
  const std::vector<float> zeros(4 * 40);
  even.router = view<const float, 2>(zeros.data(), 4, 40);
  even.router_bias = {};
  lora_tokens routed(rng, 30, 40, 50, 4);
  lora_tokens plain = routed, sigmoid = routed;
  run<routed_lora<4, 4>>(routed.item(even, 30));
  run<routed_lora<4, 4, sigmoid_gate>>(sigmoid.item(even, 30));
  run<plain_lora>(plain.item(even, 30));
  for (std::size_t i = 0; i < plain.y.size(); ++i) {
    CHECK(routed.y[i] == doctest::Approx(plain.y[i]).epsilon(1e-5));
    CHECK(sigmoid.y[i] == routed.y[i]);
  }
}

TEST_CASE("a token's result depends on itself alone, bit for bit") {
  using form = routed_lora<8, 2>;
  random_source rng(4);
  const index_t n = 131, in = 70, out = 600;
  const adapter<bf16> a(rng, in, out, 24, 8), other(rng, in, out, 8, 8);
  lora_tokens together(rng, n, in, out, 8);
  lora_tokens threads = together, alone = together, batch = together;
  run<form>(together.item(a.weights, n));
  run<form>(threads.item(a.weights, n), 3);
  CHECK(threads.y == together.y);

  std::vector<lora_item<bf16>> items;
  for (index_t t = 0; t < n; ++t) {
    items.push_back(alone.item(a.weights, n));
    items.back().x = view<const float, 2>(alone.x.data() + t * in, 1, in);
    items.back().y = view<float, 2>(alone.y.data() + t * out, 1, out);
  }
  run<form, bf16>(items, 2);
  CHECK(alone.y == together.y);

  // Sequences with adapters of their own beside it change nothing.
  lora_tokens mate(rng, 9, in, out, 8);
  const lora_item<bf16> pair[] = {batch.item(a.weights, n), mate.item(other.weights, 9)};
  run<form, bf16>(pair, 2);
  CHECK(batch.y == together.y);
}

TEST_CASE("adapters that cannot be are refused, nothing is written") {
  using form = routed_lora<4, 2>;
  random_source rng(5);
  const adapter<float> a(rng, 20, 30, 8, 4);
  lora_tokens t(rng, 6, 20, 30, 4);
  std::vector<float> mine(30);
  struct refusal {
    errc code;
    const char* argument;
    void (*spoil)(lora_item<float>&, std::vector<float>&);
  };
  using item_type = lora_item<float>;
  using floats = std::vector<float>;
  const refusal refusals[] = {
      {errc::null_view, "down", [](item_type& i, floats&) { i.weights.down.data = nullptr; }},
      {errc::bad_count, "down", [](item_type& i, floats&) { i.weights.down.extent[0] = 7; }},
      {errc::bad_shape, "down", [](item_type& i, floats&) { i.weights.down.extent[0] = 0; }},
      {errc::bad_shape, "up", [](item_type& i, floats&) { i.weights.up.extent[0] = 4; }},
      {errc::bad_shape, "router", [](item_type& i, floats&) { i.weights.router.extent[0] = 3; }},
      {errc::bad_shape, "router_bias",
       [](item_type& i, floats& m) { i.weights.router_bias = view<const float, 1>(m.data(), 5); }},
      {errc::bad_shape, "x", [](item_type& i, floats&) { i.x.extent[1] = 19; }},
      {errc::bad_shape, "y", [](item_type& i, floats&) { i.y.extent[0] = 5; }},
      {errc::bad_stride, "y", [](item_type& i, floats&) { i.y.stride[0] = 0; }},
      {errc::bad_shape, "logits",
       [](item_type& i, floats& m) { i.logits = view<float, 2>(m.data(), 6, 3); }},
      {errc::overlapping_memory, "y",
       [](item_type& i, floats&) { i.x = view<const float, 2>(i.y.data, 6, 20); }},
      {errc::overlapping_memory, "logits",
       [](item_type& i, floats&) {
         i.logits = view<float, 2>(const_cast<float*>(i.weights.down.data), 6, 4);
       }},
  };
  const aligned_memory ws(1 << 16);
  const std::vector<float> before = t.y;
  for (const refusal& r : refusals) {
    item_type item = t.item(a.weights, 6);
    r.spoil(item, mine);
    const status s = cpu::add_lora<form>(cpu::backend{}, item, ws.workspace());
    CAPTURE(r.argument);
    CHECK(s == r.code);
    CHECK(std::string(s.argument) == r.argument);
    CHECK(t.y == before);
  }
  const item_type item = t.item(a.weights, 6);
  CHECK(cpu::add_lora<form>(cpu::backend{}, item, {}) == errc::workspace_too_small);
  const item_type twice[] = {item, item};
  CHECK(cpu::add_lora<form>(cpu::backend{}, std::span<const item_type>(twice), ws.workspace()) ==
        errc::overlapping_memory);
  CHECK(t.y == before);
}
