#include <string>

#include <rota/cpu/select.hpp>
#include <rota/cuda/fit_ratio.cuh>
#include <rota/rota.hpp>

#include "cuda/device_layers.hpp"
#include "support/memory.hpp"
#include "support/select_params.hpp"

// Budgets in bytes: the search on the device against the search on the host.

using namespace rota_test;
using rota::bf16;
using rota::budget_scope;
using rota::errc;

namespace {

const rota::cpu::backend cpu_backend;

template <class Budget>
using by_token = rota::tokens<rota::key_norm, Budget>;
template <class Budget>
using by_group = rota::groups<rota::value_norm, Budget>;

/// The same operator on both backends.
template <class Tokens, class Groups, class Fill = rota::zero_fill>
struct both {
  using host = rota::attention<Tokens, Groups,
                               rota::packed<bf16, 8, rota::value_order::token_major, 64>, Fill>;
  using device = rota::attention<Tokens, Groups, rota::cuda::packed<bf16, 8>, Fill>;
};

struct set_tokens {
  ROTA_HD void operator()(auto& p, double ratio) const { p.tokens.budget.ratio = ratio; }
};
struct set_groups {
  ROTA_HD void operator()(auto& p, double ratio) const { p.groups.budget.ratio = ratio; }
};
struct set_group_count {
  ROTA_HD void operator()(auto& p, double ratio) const {
    p.groups.budget.m = static_cast<rota::index_t>(ratio * 2000);
  }
};

struct leave_as_it_is {
  ROTA_HD void operator()(auto&, double) const {}
};

template <class Op>
std::vector<rota::packed_shape> shapes_of(const select_layers& span, const typename Op::params& p) {
  std::vector<rota::packed_shape> shapes;
  for (const auto& l : span.layers)
    shapes.push_back(Op::shape_of(l.problem.kv_heads, 64, 8 * l.problem.groups, p));
  return shapes;
}

/// What a search found.
struct found {
  rota::status result;
  double ratio = -1;
};

template <class Op, class Set>
found fit_on_host(select_layers& span, const typename Op::params& p, index_t limit, Set set) {
  for (auto& l : span.layers) l.reset();
  const aligned_memory ws(rota::fit_ratio_workspace_bytes<Op>(cpu_backend, span.problems()));
  found f;
  f.result =
      rota::fit_ratio<Op>(cpu_backend, span.problems(), shapes_of<Op>(span, p), p, span.scores(),
                          limit, set, f.ratio, span.outputs(), ws.workspace());
  return f;
}

template <class Op, class Set>
found fit_on_device(const gpu& g, select_layers& span, const typename Op::params& p, index_t limit,
                    Set set, const std::int32_t* lengths = nullptr) {
  const device_select_layers on(span, lengths);
  const device_array<double> ratio(std::vector<double>{-1});
  const device_workspace ws(rota::cuda::fit_ratio_workspace_bytes<Op>(g.backend(), on.problems));
  found f;
  f.result = rota::cuda::fit_ratio<Op>(g.backend(), on.problems, shapes_of<Op>(span, p), p,
                                       on.scores, limit, set, ratio.data(), on.out, ws.get());
  if (!f.result) return f;
  f.result = g.result();
  f.ratio = ratio.download()[0];
  on.copy_to(span);
  return f;
}

/// Bytes of all layers at a ratio of 1, tails aside.
template <class Op>
index_t whole_bytes(select_layers& span, const typename Op::params& p) {
  index_t bytes = 0;
  const auto shapes = shapes_of<Op>(span, p);
  for (std::size_t l = 0; l < shapes.size(); ++l) {
    rota::packed_shape shape = shapes[l];
    shape.tail_capacity = 0;
    bytes += rota::packed_bytes_bound(shape, span.layers[l].problem.tokens);
  }
  return bytes;
}

struct tally {
  int met = 0, refused = 0;
};

template <class Pair, class Set>
void compare(std::uint64_t seed, index_t longest, Set set, tally& seen) {
  using host = typename Pair::host;
  using device = typename Pair::device;
  random_source rng(seed);
  select_layers span;
  fill_span(rng, span, rng.between(1, 3), longest);
  typename host::params p;
  p.tokens.budget = random_params<typename host::token_selector::budget>(rng, longest);
  p.groups.budget = random_params<typename host::group_selector::budget>(rng, longest);
  p.store.tail_capacity = 5;
  typename device::params q;
  q.tokens = p.tokens;
  q.groups = p.groups;
  q.store.tail_capacity = 5;
  const auto limit =
      static_cast<index_t>(rng.uniform() * static_cast<double>(whole_bytes<host>(span, p)));
  const found want = fit_on_host<host>(span, p, limit, set);
  std::vector<rota::reference::layer_selection> kept;
  for (const auto& l : span.layers) kept.push_back(l.selected());
  const gpu g(seed % 4);
  const found got = fit_on_device<device>(g, span, q, limit, set);
  CAPTURE(seed);
  REQUIRE(got.result.code == want.result.code);
  REQUIRE(std::string(got.result.argument) == want.result.argument);
  REQUIRE(got.ratio == want.ratio);
  ++(got.result.ok() ? seen.met : seen.refused);
  for (std::size_t l = 0; l < kept.size(); ++l)
    if (got.result.ok())
      REQUIRE(span.layers[l].selected() == kept[l]);
    else
      REQUIRE(span.layers[l].is_untouched());
}

TEST_CASE("a budget in bytes on the device gives what it gives on the host") {
  tally seen;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    compare<both<by_token<rota::keep_ratio>, by_group<rota::fixed_k>, rota::mean_fill>>(
        seed, 200, set_tokens{}, seen);
    compare<both<by_token<rota::keep_ratio_in<budget_scope::span>>, by_group<rota::keep_ratio>>>(
        100 + seed, 150, set_groups{}, seen);
    compare<both<rota::all_tokens, by_group<rota::global_top_m>>>(200 + seed, 150,
                                                                  set_group_count{}, seen);
    compare<both<by_token<rota::head_adaptive>, rota::all_groups>>(300 + seed, 150, set_tokens{},
                                                                   seen);
  }
  CHECK(seen.met >= 10);
  CHECK(seen.refused >= 2);
}

TEST_CASE("a budget in bytes over many chunks") {
  tally seen;
  compare<both<by_token<rota::keep_ratio>, by_group<rota::keep_ratio>>>(401, 2500, set_tokens{},
                                                                        seen);
  compare<both<by_token<rota::keep_ratio>, by_group<rota::keep_ratio>>>(402, 2500, set_tokens{},
                                                                        seen);
  CHECK(seen.met >= 1);
}

using simple = both<by_token<rota::keep_ratio>, rota::all_groups>;

TEST_CASE("a budget in bytes for a length in device memory") {
  for (const std::int32_t length : {70, 0, 101, -1}) {
    select_layers whole, part;
    auto& layer = whole.layers.emplace_back(100, 1, 4);
    auto& same = part.layers.emplace_back(std::max(0, length), 1, 4);
    random_source rng(9);
    for (float& x : layer.token_scores) x = rng.normal();
    for (std::size_t i = 0; i < same.token_scores.size() && i < 100; ++i)
      same.token_scores[i] = layer.token_scores[i];
    const device_array<std::int32_t> lengths(std::vector<std::int32_t>{length});
    const gpu g;
    const found got =
        fit_on_device<simple::device>(g, whole, {}, 9000, set_tokens{}, lengths.data());
    CAPTURE(length);
    if (length < 0 || length > 100) {
      CHECK(got.result == errc::bad_count);
      CHECK(std::string(got.result.argument) == "length");
      CHECK(got.ratio == -1);
      CHECK(layer.is_untouched());
      continue;
    }
    const found want = fit_on_host<simple::host>(part, {}, 9000, set_tokens{});
    REQUIRE(got.result.ok());
    CHECK(got.ratio == want.ratio);
    CHECK(layer.selected() == same.selected());
  }
}

TEST_CASE("fit_ratio on the device refuses what does not belong together") {
  using op = simple::device;
  select_layers span;
  span.layers.emplace_back(40, 2, 4);
  const gpu g;
  const device_select_layers on(span);
  const device_array<double> ratio(std::vector<double>{-1});
  const device_workspace memory(
      rota::cuda::fit_ratio_workspace_bytes<op>(g.backend(), on.problems));
  const auto refused = [&](errc code, const std::string& argument, auto&& spoil) {
    auto problems = on.problems;
    auto shapes = shapes_of<op>(span, {});
    auto scores = on.scores;
    op::params p;
    double* at = ratio.data();
    rota::workspace ws = memory.get();
    spoil(problems, shapes, scores, p, at, ws);
    const rota::status s = rota::cuda::fit_ratio<op>(g.backend(), problems, shapes, p, scores, 5000,
                                                     leave_as_it_is{}, at, on.out, ws);
    CAPTURE(argument);
    CHECK(s == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(g.result().ok());
    CHECK(ratio.download()[0] == -1);
  };
  refused(errc::bad_shape, "shapes", [](auto&, auto& s, auto&, auto&, auto&, auto&) { s.clear(); });
  refused(errc::bad_shape, "shapes",
          [](auto&, auto& s, auto&, auto&, auto&, auto&) { s[0].record_tokens = 128; });
  refused(errc::bad_shape, "shapes", [](auto&, auto& s, auto&, auto&, auto&, auto&) {
    s[0].order = rota::value_order::group_major;
  });
  refused(errc::bad_shape, "kv_heads",
          [](auto& p, auto&, auto&, auto&, auto&, auto&) { p[0].kv_heads = 0; });
  refused(errc::bad_ratio, "tokens.budget",
          [](auto&, auto&, auto&, auto& p, auto&, auto&) { p.tokens.budget.ratio = -1; });
  refused(errc::null_view, "scores.tokens",
          [](auto&, auto&, auto& s, auto&, auto&, auto&) { s[0].tokens.data = nullptr; });
  refused(errc::null_view, "ratio",
          [](auto&, auto&, auto&, auto&, double*& at, auto&) { at = nullptr; });
  double here = 0;
  refused(errc::wrong_memory, "ratio",
          [&](auto&, auto&, auto&, auto&, double*& at, auto&) { at = &here; });
  refused(errc::overlapping_memory, "ratio", [&](auto&, auto&, auto&, auto&, double*& at, auto&) {
    at = static_cast<double*>(memory.get().data);
  });
  refused(errc::workspace_too_small, "ws",
          [](auto&, auto&, auto&, auto&, auto&, auto& ws) { --ws.bytes; });
}

}  // namespace
