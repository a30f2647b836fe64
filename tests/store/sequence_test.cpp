// Long random sequences of everything that happens to a packed store while a model decodes, each
// step compared with plain vectors. ROTA_LONG_TESTS=N: N times as many steps.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/memory.hpp"
#include "support/plain_cache.hpp"

namespace {

using namespace rota;
using namespace rota_test;

const cpu::backend one;

template <class Layout>
class sequence {
  using op =
      attention<tokens<first_of_key, fixed_k>, groups<first_of_slice, fixed_k>, Layout, mean_fill>;
  using store_type = typename op::store_type;
  using plain = plain_type_of<typename op::element_type>;

  struct held {
    aligned_memory memory{0};
    store_type store;
    explicit held(random_source& rng, index_t bytes) : memory(static_cast<std::size_t>(bytes)) {
      std::memset(memory.data(), static_cast<int>(rng.below(256)), memory.size());
      store = {memory.data(), bytes};
    }
  };

 public:
  explicit sequence(std::uint64_t seed) : rng_(seed), cache_(random_shape()), held_(rng_, 0) {
    compress();
  }

  void step() {
    const double which = rng_.uniform();
    if (which < 0.45)
      append(rng_.between(1, 5));
    else if (which < 0.60)
      roll_back(rng_.between(-1, 7));
    else if (which < 0.72)
      reroute();
    else if (which < 0.80)
      reroute_within();
    else if (which < 0.92)
      save_and_restore();
    else if (which < 0.99)
      attend();
    else
      compress();
    REQUIRE(verify(held_.store).ok());
    cache_.check(held_.store);
  }

 private:
  plain_shape_of_cache random_shape() {
    return {rng_.between(1, 3), 8 * rng_.between(1, 3), rng_.between(1, 5), Layout::width,
            std::is_same_v<plain, bf16> ? 8 : 24};
  }

  typename op::params random_params() {
    typename op::params p;
    p.protect = {rng_.below(4), rng_.below(6)};
    p.tokens.budget.k = p.protect.sinks + p.protect.window + rng_.between(1, 200);
    p.groups.budget.k = rng_.between(0, cache_.shape().groups);
    p.store.tail_capacity = rng_.chance(0.1) ? 0 : rng_.between(1, 70);
    return p;
  }
  plain_limits limits_of(const typename op::params& p) const {
    return {p.protect.sinks, p.protect.window, p.tokens.budget.k, p.groups.budget.k};
  }
  packed_shape shape_of(const typename op::params& p) const {
    const plain_shape_of_cache& s = cache_.shape();
    return op::shape_of(s.heads, s.d_k, s.d_v(), p);
  }

  /// Keys and values of n tokens: [n, heads, d_k] and [n, heads, d_v].
  struct rows {
    index_t n, heads, d_k, d_v;
    std::vector<float> keys, values;
    view<const float, 3> k() const { return view<const float, 3>(keys.data(), n, heads, d_k); }
    view<const float, 3> v() const { return view<const float, 3>(values.data(), n, heads, d_v); }
  };
  rows random_rows(index_t n) {
    const plain_shape_of_cache& s = cache_.shape();
    rows r{n, s.heads, s.d_k, s.d_v(), {}, {}};
    r.keys.resize(static_cast<std::size_t>(n * s.heads * s.d_k));
    r.values.resize(static_cast<std::size_t>(n * s.heads * s.d_v()));
    for (index_t i = 0; i < n * s.heads; ++i) exact_row(rng_, &r.keys[i * s.d_k], s.d_k);
    for (index_t i = 0; i < n * s.heads * s.groups; ++i)
      exact_row(rng_, &r.values[i * s.width], s.width);
    return r;
  }
  void append_to_cache(const rows& r) {
    for (index_t i = 0; i < r.n; ++i) cache_.append(r.k().row(i, 0), r.v().row(i, 0));
  }

  /// A new prompt of another shape.
  void compress() {
    cache_ = plain_cache(random_shape());
    const rows r = random_rows(rng_.below(400));
    append_to_cache(r);
    std::vector<plain> keys(r.keys.begin(), r.keys.end()), values(r.values.begin(), r.values.end());
    context<plain> ctx;
    ctx.keys = view<const plain, 3>(keys.data(), r.n, r.heads, r.d_k);
    ctx.values = view<const plain, 3>(values.data(), r.n, r.heads, r.d_v);
    const typename op::params p = random_params();
    held_ = held(rng_, op::max_store_bytes(ctx, p));
    const aligned_memory ws(op::compress_workspace_bytes(one, ctx, p));
    const status s = op::compress(one, ctx, p, held_.store, ws.workspace());
    REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
    cache_.select_again(held_.store, limits_of(p));
  }

  void append(index_t n) {
    const rows r = random_rows(n);
    const bool fits = n <= held_.store.tail_capacity() - cache_.tail();
    const status s = op::append(one, held_.store, r.k(), r.v());
    if (!fits) {
      REQUIRE(s == errc::tail_full);
      return;
    }
    REQUIRE(s.ok());
    append_to_cache(r);
  }

  void roll_back(index_t n) {
    const status s = op::roll_back(one, held_.store, n);
    if (n < 0 || n > cache_.next()) {
      REQUIRE(s == errc::bad_count);
    } else if (n > cache_.tail()) {
      REQUIRE(s == errc::tail_too_short);
    } else {
      REQUIRE(s.ok());
      cache_.roll_back(n);
    }
  }

  index_t longest() const {
    index_t n = 0;
    for (index_t h = 0; h < cache_.shape().heads; ++h)
      n = std::max(n, cache_.tokens(static_cast<std::size_t>(h)));
    return n;
  }

  void reroute() {
    const typename op::params p = random_params();
    held next(rng_, packed_bytes_bound(shape_of(p), longest()));
    const context<plain> no_parts;
    const aligned_memory ws(op::reroute_workspace_bytes(one, held_.store, no_parts, p));
    const status s = op::reroute(one, held_.store, no_parts, p, next.store, ws.workspace());
    REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
    cache_.select_again(next.store, limits_of(p));
    held_ = std::move(next);
  }

  void reroute_within() {
    const typename op::params p = random_params();
    const index_t most = packed_bytes_bound(shape_of(p), longest());
    const auto cap = static_cast<index_t>(rng_.uniform() * 1.1 * static_cast<double>(most));
    held next(rng_, cap);
    const context<plain> no_parts;
    const aligned_memory ws(op::reroute_within_workspace_bytes(one, held_.store, no_parts, p, cap));
    const status s =
        op::reroute_within(one, held_.store, no_parts, p, cap, next.store, ws.workspace());
    if (s == errc::budget_too_small) return;  // and the store is as it was
    REQUIRE_MESSAGE(s.ok(), s.what(), " ", s.argument);
    REQUIRE(next.store.bytes() <= cap);
    plain_limits limits = limits_of(p);
    limits.tokens = -1;  // as many as fit
    cache_.select_again(next.store, limits);
    held_ = std::move(next);
  }

  void save_and_restore() {
    const saved_identity who{rng_.bits(), rng_.bits()};
    const aligned_memory saved(static_cast<std::size_t>(saved_bytes(held_.store)));
    REQUIRE(save(held_.store, who, {saved.data(), saved.size()}).ok());
    const index_t capacity = rng_.chance(0.5) ? -1 : cache_.tail() + rng_.below(60);
    index_t bytes = 0;
    const std::span<const std::byte> from(saved.data(), saved.size());
    REQUIRE(restored_bytes<store_type>(from, capacity, bytes).ok());
    held next(rng_, bytes);
    std::byte& touched = saved.data()[rng_.below(static_cast<index_t>(saved.size()))];
    const auto bit = static_cast<std::byte>(1u << rng_.below(8));
    touched ^= bit;
    REQUIRE(!restore(from, who, capacity, next.store).ok());
    touched ^= bit;
    REQUIRE(restore(from, who, capacity, next.store).ok());
    held_ = std::move(next);
  }

  void attend() {
    const plain_shape_of_cache& s = cache_.shape();
    if (longest() == 0) return;
    std::vector<float> q(static_cast<std::size_t>(2 * s.heads * s.d_k));
    std::vector<float> out(static_cast<std::size_t>(2 * s.heads * s.d_v()));
    for (float& x : q) x = 0.1f * rng_.normal();
    const attend_item<store_type> item{view<const float, 3>(q.data(), 1, 2 * s.heads, s.d_k),
                                       &held_.store,
                                       view<float, 3>(out.data(), 1, 2 * s.heads, s.d_v()),
                                       {}};
    const aligned_memory ws(op::attend_workspace_bytes(one, {&item, 1}, {}));
    REQUIRE(op::attend(one, item, {}, ws.workspace()).ok());
    double worst = 0;
    for (index_t h = 0; h < 2 * s.heads; ++h) {
      const auto want = cache_.attend(static_cast<std::size_t>(h / 2), item.q.row(0, h));
      for (index_t c = 0; c < s.d_v(); ++c)
        worst = std::max(worst, std::fabs(static_cast<double>(item.out(0, h, c)) -
                                          want[static_cast<std::size_t>(c)]));
    }
    REQUIRE(worst <= (std::is_same_v<plain, bf16> ? 1e-2 : 1e-4));
  }

  random_source rng_;
  plain_cache cache_;
  held held_;
};

/// Some thousand steps in all; a failure says by which seed and at which step.
template <class Layout>
void run(std::uint64_t seed) {
  const char* const longer = std::getenv("ROTA_LONG_TESTS");
  const int rounds = longer != nullptr ? std::atoi(longer) : 1;
  MESSAGE("seeds ", seed, " to ", seed + static_cast<std::uint64_t>(rounds) - 1);
  for (int round = 0; round < rounds; ++round, ++seed) {
    CAPTURE(seed);
    sequence<Layout> steps(seed);
    for (int i = 0; i < 600; ++i) {
      CAPTURE(i);
      steps.step();
    }
  }
}

}  // namespace

TEST_CASE("a random sequence of operations, f32") {
  run<packed<f32, 4, value_order::group_major, 32>>(100000);
  run<packed<f32, 8, value_order::token_major>>(200000);
}

TEST_CASE("a random sequence of operations, bf16") {
  run<packed<bf16, 8>>(300000);
  run<packed<bf16, 8, value_order::token_major, 64>>(400000);
}

TEST_CASE("a random sequence of operations, int8") {
  run<packed<int8, 16, value_order::group_major, 64>>(500000);
  run<packed<int8, 16, value_order::token_major>>(600000);
}
