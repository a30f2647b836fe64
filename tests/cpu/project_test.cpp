#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/attend/attention.hpp>
#include <rota/cpu/project.hpp>
#include <rota/cpu/thread_pool.hpp>
#include <rota/lora/reference.hpp>

#include "support/lora_case.hpp"
#include "support/memory.hpp"

using namespace rota;
using namespace rota_test;

namespace {

/// A projection with an adapter, and tokens for it.
template <element E, element A>
struct projected {
  std::vector<E> weight;
  std::vector<float> bias;
  adapter<A> added;
  lora_tokens rows;
  projection_item<E, A> item;

  projected(random_source& rng, index_t n, index_t in, index_t out, index_t rank, index_t subspaces)
      : added(rng, in, out, rank, subspaces), rows(rng, n, in, out, subspaces) {
    const float unit = 1 / std::sqrt(static_cast<float>(in));
    item.dense.weight = adapter<E>::fill(rng, weight, out, in, unit);
    bias.resize(static_cast<std::size_t>(out));
    for (float& x : bias) x = rng.normal();
    if (rng.chance(0.5)) item.dense.bias = view<const float, 1>(bias.data(), out);
    item.part = rows.item(added.weights, n);
  }
};

template <class Form, element E, element A>
void run(std::span<const projection_item<E, A>> batch, int threads) {
  cpu::thread_pool pool(threads);
  const cpu::backend b = pool.get_backend();
  const aligned_memory ws(cpu::project_workspace_bytes<Form>(b, batch));
  const status s = cpu::project<Form>(b, batch, ws.workspace());
  REQUIRE_MESSAGE(s.ok(), s.what() << ": " << s.argument);
}

/// The projection in double.
template <class Form, element E, element A>
std::vector<double> expected(const projection_item<E, A>& item, index_t t) {
  const auto& [weight, bias] = item.dense;
  std::vector<double> y(static_cast<std::size_t>(weight.extent[0]));
  if constexpr (lora_form<Form>)
    y = reference::lora_of_token<Form>(item.part.weights, item.part.x.row(t)).y;
  for (index_t j = 0; j < weight.extent[0]; ++j) {
    double& sum = y[static_cast<std::size_t>(j)];
    if (!bias.empty()) sum += double{bias(j)};
    for (index_t c = 0; c < weight.extent[1]; ++c)
      sum += double{static_cast<float>(weight(j, c))} * double{item.part.x(t, c)};
  }
  return y;
}

template <class Form, element E, element A>
void check_form(std::uint64_t seed) {
  random_source rng(seed);
  const index_t n = rng.pick<index_t>({0, 1, 2, 65, 70});
  const index_t in = rng.between(1, 70), out = rng.pick<index_t>({1, 30, 128, 150});
  projected<E, A> p(rng, n, in, out, 8 * rng.between(1, 3), 8);
  run<Form, E, A>(std::span<const projection_item<E, A>>(&p.item, 1),
                  static_cast<int>(rng.between(1, 3)));
  CAPTURE(seed);
  for (index_t t = 0; t < n; ++t) {
    const std::vector<double> y = expected<Form>(p.item, t);
    // Outputs are of size 1. A row of one may be far smaller, but what adds up to it is not.
    double top = 1, off = 0;
    for (index_t j = 0; j < out; ++j) {
      top = std::max(top, std::abs(y[static_cast<std::size_t>(j)]));
      off = std::max(off, std::abs(y[static_cast<std::size_t>(j)] - double{p.item.part.y(t, j)}));
    }
    CHECK(off / top < 1e-5);
  }
}

}  // namespace

TEST_CASE("projections follow their double reference, with every form of adapter") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    check_form<no_adapter, float, float>(seed);
    check_form<no_adapter, bf16, bf16>(seed);
    check_form<plain_lora, bf16, float>(seed);
    check_form<routed_lora<8, 2>, bf16, bf16>(seed);
    check_form<routed_lora<8, 3, sigmoid_gate>, float, f16>(seed);
  }
}

TEST_CASE("Q, K and V of two sequences in one call are what they are alone, bit for bit") {
  using form = routed_lora<8, 2>;
  std::vector<std::vector<float>> alone;
  for (const bool together : {false, true}) {
    random_source rng(7);
    std::vector<std::unique_ptr<projected<bf16, bf16>>> parts;
    for (int i = 0; i < 6; ++i)
      parts.push_back(std::make_unique<projected<bf16, bf16>>(rng, i < 3 ? 1 : 67, 48,
                                                              i % 3 == 0 ? 160 : 40, 16, 8));
    std::vector<projection_item<bf16>> items;
    for (const auto& p : parts) items.push_back(p->item);
    if (together) run<form, bf16, bf16>(items, 3);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (together) {
        CHECK(parts[i]->rows.y == alone[i]);
      } else {
        run<form, bf16, bf16>(std::span<const projection_item<bf16>>(&items[i], 1), 1);
        alone.push_back(parts[i]->rows.y);
      }
    }
  }
}

TEST_CASE("the operator projects with the form of its pack") {
  using op = attention<packed<bf16, 16>, projection<routed_lora<8, 2>>>;
  static_assert(std::is_same_v<attention<zero_fill>::projection_form, no_adapter>);
  random_source rng(11);
  projected<float, float> p(rng, 5, 20, 30, 8, 8);
  const std::span<const projection_item<float>> batch(&p.item, 1);
  run<routed_lora<8, 2>, float, float>(batch, 1);
  const std::vector<float> expected = p.rows.y;
  std::fill(p.rows.y.begin(), p.rows.y.end(), 0.0f);
  const aligned_memory ws(op::project_workspace_bytes(cpu::backend{}, batch));
  REQUIRE(op::project(cpu::backend{}, batch, ws.workspace()).ok());
  CHECK(p.rows.y == expected);
}

TEST_CASE("projections that cannot be are refused, nothing is written") {
  using form = routed_lora<8, 2>;
  random_source rng(5);
  projected<float, float> p(rng, 6, 20, 30, 8, 8);
  using item_type = projection_item<float>;
  struct refusal {
    errc code;
    const char* argument;
    void (*spoil)(item_type&);
  };
  const refusal refusals[] = {
      {errc::null_view, "weight", [](item_type& i) { i.dense.weight.data = nullptr; }},
      {errc::bad_shape, "weight", [](item_type& i) { i.dense.weight.extent[0] = 0; }},
      {errc::bad_shape, "bias",
       [](item_type& i) { i.dense.bias = view<const float, 1>(i.dense.weight.data, 29); }},
      {errc::bad_shape, "x", [](item_type& i) { i.dense.weight.extent[1] = 19; }},
      {errc::bad_shape, "y",
       [](item_type& i) {
         i.dense.weight.extent[0] = 29;
         i.dense.bias = {};
       }},
      {errc::bad_shape, "up", [](item_type& i) { i.part.weights.up.extent[0] = 7; }},
      {errc::overlapping_memory, "y",
       [](item_type& i) {
         i.dense.weight = view<const float, 2>(i.part.y.data, 30, 20);
         i.part.y.extent = {6, 30};
         i.dense.bias = {};
       }},
  };
  const aligned_memory ws(1 << 16);
  const std::vector<float> before = p.rows.y;
  const auto refused = [&](const item_type& item, const workspace& w) {
    return cpu::project<form>(cpu::backend{}, std::span<const item_type>(&item, 1), w);
  };
  for (const refusal& r : refusals) {
    item_type item = p.item;
    r.spoil(item);
    const status s = refused(item, ws.workspace());
    CAPTURE(r.argument);
    CHECK(s == r.code);
    CHECK(std::string(s.argument) == r.argument);
    CHECK(p.rows.y == before);
  }
  CHECK(refused(p.item, {}) == errc::workspace_too_small);
  const workspace on_weights{p.weight.data(), 1 << 16};
  CHECK_FALSE(refused(p.item, on_weights).ok());
  CHECK(p.rows.y == before);
}
