#include <deque>
#include <string>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/memory.hpp"
#include "support/random_layer.hpp"
#include "support/selecting.hpp"

// A budget in bytes against the bytes of stores that were really packed.

using namespace rota;
using namespace rota_test;

namespace {

const cpu::backend cpu_backend;

using by_head = attention<tokens<key_norm, keep_ratio>, groups<value_norm, keep_ratio>,
                          packed<bf16, 16>, mean_fill>;
using by_span = attention<tokens<key_norm, keep_ratio_in<budget_scope::span>>,
                          groups<value_norm, keep_ratio_in<budget_scope::layer>>, packed<bf16, 16>>;
using by_groups = attention<groups<value_norm, global_top_m>,
                            packed<bf16, 8, value_order::token_major, 64>, mean_fill>;
using adaptive = attention<tokens<key_norm, head_adaptive>, packed<bf16, 16>>;

/// Layers of different lengths with their scores, as an engine would hold them.
template <class Op>
struct layer_stack {
  std::deque<random_layer<bf16>> contexts;
  select_span span;
  std::vector<packed_shape> shapes;
  typename Op::params p;

  layer_stack(random_source& rng, index_t layers, protection protect) {
    p.protect = protect;
    p.store.tail_capacity = rng.below(100);
    for (index_t l = 0; l < layers; ++l) {
      const index_t n = rng.between(20, 400);
      const auto& ctx = contexts.emplace_back(rng, n, 2, 32, 64).context;
      auto& m = span.layers.emplace_back(n, 2, 64 / Op::width);
      m.problem = Op::problem_of(ctx, p);
      shapes.push_back(Op::shape_of(ctx, p));
      const aligned_memory ws(Op::score_workspace_bytes(cpu_backend, ctx, p));
      REQUIRE(Op::score(cpu_backend, ctx, p, m.scores, ws.workspace()).ok());
    }
  }

  /// Sealed bytes of the stores that packing the selections makes; -1 if the selection fails.
  index_t packed_bytes(double ratio, void (*set)(typename Op::params&, double)) {
    set(p, ratio);
    const aligned_memory ws(Op::select_workspace_bytes(cpu_backend, span.problems()));
    const status s =
        Op::select(cpu_backend, span.problems(), p, span.scores(), span.outputs(), ws.workspace());
    return s.ok() ? packed_bytes() : -1;
  }
  index_t packed_bytes() {
    index_t bytes = 0;
    for (std::size_t l = 0; l < contexts.size(); ++l) {
      const auto& ctx = contexts[l].context;
      const selection& kept = span.layers[l].out;
      const aligned_memory memory(static_cast<std::size_t>(Op::store_bytes(ctx, kept, p)));
      const aligned_memory ws(Op::pack_workspace_bytes(cpu_backend, ctx, p));
      typename Op::store_type store{memory.data(), static_cast<index_t>(memory.size())};
      REQUIRE(Op::pack(cpu_backend, ctx, kept, p, store, ws.workspace()).ok());
      bytes += store.sealed_bytes();
    }
    return bytes;
  }

  status fit(index_t limit, void (*set)(typename Op::params&, double), double& ratio) {
    const aligned_memory ws(fit_ratio_workspace_bytes<Op>(cpu_backend, span.problems()));
    return fit_ratio<Op>(cpu_backend, span.problems(), shapes, p, span.scores(), limit, set, ratio,
                         span.outputs(), ws.workspace());
  }
};

template <class Op>
void check_fits(void (*set)(typename Op::params&, double)) {
  int met = 0, refused = 0, all = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    random_source rng(seed);
    layer_stack<Op> stack(rng, rng.between(1, 4), {rng.below(3), rng.below(10)});
    const index_t whole = stack.packed_bytes(1, set);
    const auto limit = static_cast<index_t>(1.1 * rng.uniform() * static_cast<double>(whole));
    for (auto& l : stack.span.layers) l.reset();
    double ratio = -1;
    const status s = stack.fit(limit, set, ratio);
    CAPTURE(seed);
    if (!s.ok()) {
      ++refused;
      CHECK(s.code == errc::budget_too_small);
      CHECK(std::string(s.argument) == "limit");
      CHECK(ratio == -1);
      for (auto& l : stack.span.layers) CHECK(l.is_untouched());
      // The smallest selection that holds the protected tokens does not fit either, if there is
      // one at all.
      index_t least = -1;
      for (int step = 0; least < 0 && step <= 512; ++step)
        least = stack.packed_bytes(static_cast<double>(step) / 512, set);
      CHECK((least < 0 || least > limit));
      continue;
    }
    CHECK(stack.packed_bytes() <= limit);  // what `out` holds
    CHECK(stack.packed_bytes(ratio, set) <= limit);
    if (ratio == 1) {
      ++all;
      continue;
    }
    ++met;
    CHECK(stack.packed_bytes(ratio + 1.0 / fit_ratio_steps, set) > limit);
  }
  CHECK(met > 10);
  CHECK(refused + all > 2);
}

}  // namespace

TEST_CASE("a byte budget is met by real bytes, and the next step up exceeds it") {
  check_fits<by_head>([](auto& p, double ratio) {
    p.tokens.budget.ratio = ratio;
    p.groups.budget.ratio = 0.9;
  });
  check_fits<by_span>([](auto& p, double ratio) {
    p.tokens.budget.ratio = 0.8;
    p.groups.budget.ratio = ratio;
  });
  check_fits<by_groups>([](auto& p, double ratio) {
    p.groups.budget.m = static_cast<index_t>(ratio * 4 * 400 * 2 * 8);
  });
  check_fits<adaptive>([](auto& p, double ratio) { p.tokens.budget.ratio = ratio; });
}

TEST_CASE("fit_ratio refuses what does not belong together and writes nothing then") {
  random_source rng(1);
  layer_stack<by_head> stack(rng, 2, {1, 2});
  const auto set = [](by_head::params& p, double ratio) { p.tokens.budget.ratio = ratio; };
  const index_t limit = stack.packed_bytes(1, set) / 2;
  const aligned_memory memory(
      fit_ratio_workspace_bytes<by_head>(cpu_backend, stack.span.problems()));
  const auto refused = [&](errc code, const char* argument, auto&& spoil) {
    auto problems = stack.span.problems();
    auto scores = stack.span.scores();
    auto out = stack.span.outputs();
    auto shapes = stack.shapes;
    auto p = stack.p;
    auto ws = memory.workspace();
    spoil(problems, shapes, scores, p, out, ws);
    for (auto& l : stack.span.layers) l.reset();
    double ratio = -1;
    const status s =
        fit_ratio<by_head>(cpu_backend, problems, shapes, p, scores, limit, set, ratio, out, ws);
    CAPTURE(argument);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(ratio == -1);
    for (auto& l : stack.span.layers) CHECK(l.is_untouched());
  };
  refused(errc::bad_shape, "shapes",
          [](auto&, auto& s, auto&, auto&, auto&, auto&) { s.pop_back(); });
  refused(errc::bad_shape, "shapes",
          [](auto&, auto& s, auto&, auto&, auto&, auto&) { s[1].kv_heads = 3; });
  refused(errc::bad_shape, "scores",
          [](auto&, auto&, auto& s, auto&, auto&, auto&) { s.pop_back(); });
  refused(errc::bad_shape, "out", [](auto&, auto&, auto&, auto&, auto& o, auto&) { o.pop_back(); });
  refused(errc::bad_shape, "kv_heads",
          [](auto& p, auto&, auto&, auto&, auto&, auto&) { p[0].kv_heads = 0; });
  refused(errc::bad_count, "record_tokens",
          [](auto&, auto& s, auto&, auto&, auto&, auto&) { s[0].record_tokens = 0; });
  refused(errc::bad_ratio, "groups.budget",
          [](auto&, auto&, auto&, auto& p, auto&, auto&) { p.groups.budget.ratio = NAN; });
  refused(errc::null_view, "scores.tokens",
          [](auto&, auto&, auto& s, auto&, auto&, auto&) { s[0].tokens.data = nullptr; });
  refused(errc::null_view, "selection.indices",
          [](auto&, auto&, auto&, auto&, auto& o, auto&) { o[0].indices.data = nullptr; });
  refused(errc::overlapping_memory, "ws", [&](auto&, auto&, auto& s, auto&, auto&, auto&) {
    s[0].tokens.data = reinterpret_cast<float*>(memory.data());
  });
  refused(errc::workspace_too_small, "ws",
          [](auto&, auto&, auto&, auto&, auto&, auto& w) { --w.bytes; });
  refused(errc::workspace_too_small, "ws",
          [](auto&, auto&, auto&, auto&, auto&, auto& w) { w.data = nullptr; });
  double ratio = -1;
  CHECK(stack.fit(limit, set, ratio).ok());
  CHECK((ratio > 0 && ratio < 1));
  CHECK(stack.fit(0, set, ratio) == errc::budget_too_small);
  CHECK(stack.fit(-5, set, ratio) == errc::budget_too_small);
}
