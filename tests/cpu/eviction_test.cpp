// Decoding under a fixed cap, against double: what a store holds after many evictions is dense
// attention over the same tokens with the dropped groups masked.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rota/attend/reference.hpp>
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "support/masked_dense.hpp"
#include "support/memory.hpp"
#include "support/packed_sample.hpp"
#include "support/policies.hpp"
#include "support/random_layer.hpp"

namespace {

using namespace rota;
using namespace rota_test;

struct eviction_setting {
  index_t kv_heads = 2, d_k = 16, d_v = 32, group = 3;
  index_t prompt = 90, steps = 260;
  int threads = 1;
  bool even_heads = true;  ///< whether the budgets keep as many tokens in each head
};

/// What should be in the store, kept apart from it: per head the kept tokens and their groups, and
/// the means that stand in for dropped groups.
template <class Op>
class tracker {
 public:
  using E = typename Op::element_type;
  using Store = typename Op::store_type;

  tracker(const eviction_setting& s, const random_layer<E>& all)
      : s_(s),
        all_(all),
        held_(static_cast<std::size_t>(s.kv_heads)),
        means_(held_.size(), std::vector<double>(static_cast<std::size_t>(s.d_v), 0.0)) {}

  void append(index_t first, index_t n) {
    for (auto& head : held_)
      for (index_t i = first; i < first + n; ++i) head.push_back({i, full()});
    length_ = first + n;
  }

  /// Takes over what a new store kept, after checking that it is part of what there was.
  void rerouted(const Store& store, const protection& protect) {
    for (index_t h = 0; h < s_.kv_heads; ++h) {
      std::vector<token>& before = held_[static_cast<std::size_t>(h)];
      const std::vector<token> now = read(store, h);
      check_protected(before, now, protect);
      std::vector<double> sums(static_cast<std::size_t>(s_.d_v)), counts(sums.size());
      for (const token& t : now) {
        const auto was = std::ranges::find(before, t.at, &token::at);
        REQUIRE(was != before.end());
        REQUIRE((t.mask & ~was->mask) == 0);
        for (index_t c = 0; c < s_.d_v; ++c) {
          if (has(t, c)) continue;
          sums[static_cast<std::size_t>(c)] += value(*was, h, c);
          counts[static_cast<std::size_t>(c)] += 1;
        }
      }
      for (std::size_t c = 0; c < sums.size(); ++c)
        if (Op::fill::has_means)
          sums[c] = counts[c] > 0 ? sums[c] / counts[c] : 0;
        else
          sums[c] = 0;
      means_[static_cast<std::size_t>(h)] = sums;
      before = now;
    }
  }

  index_t tokens(index_t h) const {
    return static_cast<index_t>(held_[static_cast<std::size_t>(h)].size());
  }
  index_t length() const { return length_; }

  /// The worst relative error of a row of attention over `store`.
  double error(const Store& store, random_source& rng) const {
    const index_t heads = s_.kv_heads * s_.group;
    std::vector<float> q(static_cast<std::size_t>(heads * s_.d_k));
    std::vector<float> out(static_cast<std::size_t>(heads * s_.d_v));
    for (float& x : q) x = rng.normal();
    const attend_item<Store> item{view<const float, 3>(q.data(), 1, heads, s_.d_k),
                                  &store,
                                  view<float, 3>(out.data(), 1, heads, s_.d_v),
                                  {}};
    const cpu::backend one;
    const aligned_memory ws(Op::attend_workspace_bytes(one, {&item, 1}, {}));
    REQUIRE(Op::attend(one, item, {}, ws.workspace()).ok());

    random_selection kept(rng, length_, s_.kv_heads, 1, 0, 0);
    for (index_t h = 0; h < s_.kv_heads; ++h) {
      kept.kept.counts(h) = static_cast<std::int32_t>(tokens(h));
      for (index_t i = 0; i < tokens(h); ++i) {
        const token& t = held_[static_cast<std::size_t>(h)][static_cast<std::size_t>(i)];
        kept.kept.indices(h, i) = static_cast<std::int32_t>(t.at);
        kept.kept.masks(h, i) = t.mask;
      }
    }
    const context<E> nothing;
    masked_sequence<E> sequence{&all_.context,
                                &kept.kept,
                                &nothing,
                                Op::width,
                                Op::fill::has_means,
                                nullptr,
                                static_cast<position_t>(length_)};
    double worst = 0;
    std::vector<double> want;
    for (index_t head = 0; head < heads; ++head) {
      attend_masked_dense(sequence, head / s_.group, item.q.row(0, head),
                          static_cast<position_t>(length_ - 1), {},
                          means_[static_cast<std::size_t>(head / s_.group)], want);
      double difference = 0, size = 0;
      for (index_t c = 0; c < s_.d_v; ++c) {
        const double w = want[static_cast<std::size_t>(c)];
        difference = std::max(difference, std::fabs(w - static_cast<double>(item.out(0, head, c))));
        size = std::max(size, std::fabs(w));
      }
      worst = std::max(worst, difference / size);
    }
    return worst;
  }

 private:
  struct token {
    index_t at;
    group_mask mask;
  };

  group_mask full() const { return full_mask(static_cast<int>(s_.d_v / Op::width)); }
  static bool has(const token& t, index_t c) { return (t.mask >> (c / Op::width) & 1) != 0; }
  /// What stands for a channel now: the stored value, or the mean as it is unpacked.
  double value(const token& t, index_t h, index_t c) const {
    if (has(t, c)) return static_cast<double>(static_cast<float>(all_.context.values(t.at, h, c)));
    const double mean = means_[static_cast<std::size_t>(h)][static_cast<std::size_t>(c)];
    return static_cast<double>(static_cast<float>(E(static_cast<float>(mean))));
  }

  /// Positions and masks of a head, keys compared with those that were appended.
  std::vector<token> read(const Store& store, index_t h) const {
    std::vector<token> found;
    for (index_t i = 0; i < store.block_count(h); ++i) {
      const block<E> b = store.block_at(h, i);
      std::vector<double> row(static_cast<std::size_t>(s_.d_v));
      for (index_t j = 0; j < b.count; ++j) {
        token t{b.position(j), 0};
        REQUIRE((found.empty() || found.back().at < t.at));
        REQUIRE(t.at < length_);
        reference::expand_token(b, j, s_.d_v, Op::width, reference::stand_ins_of(store, h),
                                row.data(), &t.mask);
        REQUIRE(std::memcmp(b.keys + j * b.key_stride, all_.context.keys.row(t.at, h),
                            sizeof(E) * static_cast<std::size_t>(s_.d_k)) == 0);
        found.push_back(t);
      }
    }
    return found;
  }

  static void check_protected(const std::vector<token>& before, const std::vector<token>& now,
                              const protection& protect) {
    const auto n = static_cast<index_t>(before.size());
    for (index_t i = 0; i < n; ++i) {
      if (!protect.covers(i, n)) continue;
      const token& t = before[static_cast<std::size_t>(i)];
      const auto kept = std::ranges::find(now, t.at, &token::at);
      REQUIRE(kept != now.end());
      REQUIRE(kept->mask == t.mask);
    }
  }

  eviction_setting s_;
  const random_layer<E>& all_;
  std::vector<std::vector<token>> held_;
  std::vector<std::vector<double>> means_;
  index_t length_ = 0;
};

template <class Store>
std::vector<std::byte> canonical(const Store& store) {
  const aligned_memory memory(static_cast<std::size_t>(saved_bytes(store)));
  REQUIRE(save(store, {}, {memory.data(), memory.size()}).ok());
  return {memory.data(), memory.data() + memory.size()};
}

/// What a whole token of every head takes, and what padding and whole records may add to that.
template <class Op>
index_t slack(const eviction_setting& s) {
  const auto e = static_cast<index_t>(sizeof(typename Op::element_type));
  const index_t token = (s.d_k + s.d_v) * e + 4 + 2 + 2 + s.d_v / Op::width;
  return s.kv_heads * (2 * token + 4 * record_alignment);
}

template <class Op>
void decode_under_cap(std::uint64_t seed, const eviction_setting& s, typename Op::params p,
                      index_t cap, double tolerance) {
  using E = typename Op::element_type;
  using Store = typename Op::store_type;
  random_source rng(seed);
  const random_layer<E> all(rng, s.prompt + s.steps, s.kv_heads, s.d_k, s.d_v);
  const auto rows = [&](index_t first, index_t n) {
    context<E> part = all.context;
    part.keys.data = all.context.keys.row(first, 0);
    part.values.data = all.context.values.row(first, 0);
    part.keys.extent[0] = part.values.extent[0] = n;
    return part;
  };
  cpu::thread_pool pool(s.threads);
  const cpu::backend b = pool.get_backend(), one;
  const context<E> no_parts;

  // The prompt's store is larger than the cap; the first re-routing brings it down.
  const context<E> prompt = rows(0, s.prompt);
  typename Op::params whole = p;
  const aligned_memory large(static_cast<std::size_t>(Op::max_store_bytes(prompt, whole)));
  Store start{large.data(), static_cast<index_t>(large.size())};
  const aligned_memory compress_ws(Op::compress_workspace_bytes(b, prompt, whole));
  REQUIRE(Op::compress(b, prompt, whole, start, compress_ws.workspace()).ok());
  tracker<Op> want(s, all);
  want.append(0, s.prompt);
  want.rerouted(start, p.protect);

  const aligned_memory memory_a(static_cast<std::size_t>(cap)),
      memory_b(static_cast<std::size_t>(cap)), memory_c(static_cast<std::size_t>(cap));
  const aligned_memory ws(Op::reroute_within_workspace_bytes(b, start, no_parts, p, cap));
  const aligned_memory one_ws(Op::reroute_within_workspace_bytes(one, start, no_parts, p, cap));
  Store current = start, next{memory_a.data(), cap}, spare{memory_b.data(), cap};
  int evictions = 0;
  const auto evict = [&] {
    const index_t held = want.tokens(0);
    const status st = Op::reroute_within(b, current, no_parts, p, cap, next, ws.workspace());
    REQUIRE_MESSAGE(st.ok(), st.what(), " ", st.argument);
    CHECK(next.bytes() <= cap);
    CHECK(next.tail_count() == 0);
    CHECK(next.tail_capacity() == p.store.tail_capacity);
    CHECK(next.next_position() == current.next_position());
    CHECK(verify(next).ok());
    Store by_one{memory_c.data(), cap};
    REQUIRE(Op::reroute_within(one, current, no_parts, p, cap, by_one, one_ws.workspace()).ok());
    CHECK(canonical(by_one) == canonical(next));
    want.rerouted(next, p.protect);
    if (s.even_heads && want.tokens(0) < held) CHECK(cap - next.bytes() < slack<Op>(s));
    current = next;
    std::swap(next, spare);
    ++evictions;
  };
  evict();
  for (index_t at = s.prompt; at < s.prompt + s.steps;) {
    const index_t n = std::min(rng.between(1, 3), s.prompt + s.steps - at);
    const context<E> more = rows(at, n);
    status st = Op::append(b, current, more.keys, more.values);
    if (st == errc::tail_full) {
      evict();
      st = Op::append(b, current, more.keys, more.values);
    }
    REQUIRE(st.ok());
    want.append(at, n);
    at += n;
    CHECK(current.next_position() == at);
    CHECK(current.bytes() <= cap);
    if (rng.chance(0.2)) {
      const double error = want.error(current, rng);
      CHECK(error < tolerance);
    }
  }
  CHECK(evictions > 5);
  CHECK(want.error(current, rng) < tolerance);
}

/// Bytes that `tokens` whole tokens of each head would take, index and tail included.
template <class Op>
index_t cap_for(const eviction_setting& s, const typename Op::params& p, index_t tokens) {
  return packed_bytes_bound(Op::shape_of(s.kv_heads, s.d_k, s.d_v, p), tokens);
}

template <class Op>
typename Op::params params_of(double rho, index_t tail) {
  typename Op::params p;
  p.protect = {2, 5};
  p.groups.budget.ratio = rho;
  p.store.tail_capacity = tail;
  return p;
}

}  // namespace

TEST_CASE("after many evictions attention is dense attention masked to what is kept") {
  using plain =
      attention<tokens<key_norm, keep_ratio>, groups<value_norm, keep_ratio>, packed<f32, 8>>;
  using filled = attention<tokens<key_norm, keep_ratio>, groups<value_norm, keep_ratio>,
                           packed<bf16, 8>, mean_fill>;
  using token_major = attention<tokens<weighted_norms, keep_ratio>, groups<value_norm, keep_ratio>,
                                packed<f16, 16, value_order::token_major, 32>, mean_fill>;
  eviction_setting s;
  for (const index_t group : {1, 3, 4}) {
    s.group = group;
    s.threads = static_cast<int>(group);
    const auto a = params_of<plain>(0.5, 16);
    decode_under_cap<plain>(group, s, a, cap_for<plain>(s, a, 41), 1e-5);
    const auto b = params_of<filled>(0.6, 7);
    decode_under_cap<filled>(10 + static_cast<std::uint64_t>(group), s, b,
                             cap_for<filled>(s, b, 33), 1e-2);
    const auto c = params_of<token_major>(0.3, 20);
    decode_under_cap<token_major>(20 + static_cast<std::uint64_t>(group), s, c,
                                  cap_for<token_major>(s, c, 50), 1e-2);
  }
}

TEST_CASE("budgets of other scopes are held to the cap") {
  using by_layer = attention<tokens<key_norm, one_in>, packed<f32, 8>>;
  using by_span =
      attention<tokens<key_norm, global_top_m>, groups<value_norm, fixed_k>, packed<f32, 8>>;
  using by_row = attention<tokens<key_norm, fixed_k>, packed<bf16, 16>>;
  eviction_setting s;
  s.kv_heads = 3;
  by_layer::params a;
  a.protect = {1, 4};
  a.tokens.budget.every = 1;
  a.store.tail_capacity = 9;
  s.even_heads = false;
  decode_under_cap<by_layer>(31, s, a, cap_for<by_layer>(s, a, 30), 1e-5);
  by_span::params b;
  b.protect = {1, 4};
  b.tokens.budget.m = 1 << 20;
  b.groups.budget.k = 2;
  b.store.tail_capacity = 12;
  decode_under_cap<by_span>(32, s, b, cap_for<by_span>(s, b, 40), 1e-5);
  s.even_heads = true;
  by_row::params c;
  c.protect = {1, 4};
  c.tokens.budget.k = 1 << 20;
  c.store.tail_capacity = 12;
  decode_under_cap<by_row>(33, s, c, cap_for<by_row>(s, c, 40), 1e-2);
}

TEST_CASE("a cap that holds everything leaves the budgets as they are") {
  using op =
      attention<tokens<key_norm, keep_ratio>, groups<value_norm, keep_ratio>, packed<bf16, 16>>;
  random_source rng(41);
  const packed_sample<packed<bf16, 16>> sample(rng, {.tokens = 100, .means = false});
  op::params p;
  p.tokens.budget.ratio = 0.7;
  p.groups.budget.ratio = 0.5;
  const context<bf16> no_parts;
  const cpu::backend b;
  const index_t cap = 2 * sample.store.bytes();
  const aligned_memory ws(op::reroute_within_workspace_bytes(b, sample.store, no_parts, p, cap));
  const aligned_memory m1(static_cast<std::size_t>(cap)), m2(static_cast<std::size_t>(cap));
  op::store_type freely{m1.data(), cap}, capped{m2.data(), cap};
  REQUIRE(op::reroute(b, sample.store, no_parts, p, freely, ws.workspace()).ok());
  REQUIRE(op::reroute_within(b, sample.store, no_parts, p, cap, capped, ws.workspace()).ok());
  CHECK(canonical(freely) == canonical(capped));
}

TEST_CASE("re-routing under a cap through an operator that is chosen at run time") {
  using a = attention<tokens<key_norm, keep_ratio>, packed<f32, 8>>;
  using c = attention<tokens<key_norm, keep_ratio>, packed<bf16, 16>>;
  using ops = any_op<a, c>;
  random_source rng(42);
  const packed_sample<packed<bf16, 16>> sample(rng, {.means = false});
  const ops::store_type from(sample.store);
  const context<bf16> no_parts;
  const cpu::backend b;
  const index_t cap = sample.store.bytes() / 2;
  const aligned_memory memory(static_cast<std::size_t>(cap));
  ops::store_type to;
  const ops right = ops::of<c>({}), wrong = ops::of<a>({});
  const aligned_memory ws(right.reroute_within_workspace_bytes(b, from, no_parts, cap));
  CHECK(right.reroute_within(b, from, no_parts, cap, memory.data(), cap, to, ws.workspace()).ok());
  CHECK(to.bytes() <= cap);
  CHECK(to.next_position() == from.next_position());
  CHECK(wrong.reroute_within_workspace_bytes(b, from, no_parts, cap) == 0);
  CHECK(wrong.reroute_within(b, from, no_parts, cap, memory.data(), cap, to, ws.workspace()) ==
        errc::bad_store);
  REQUIRE(roll_back(b, to, 0).ok());
  CHECK(roll_back(b, to, 1) == errc::tail_too_short);
}

TEST_CASE("a cap that cannot be kept is refused, and both stores stay as they are") {
  using op = attention<tokens<key_norm, keep_ratio>, packed<bf16, 16>>;
  random_source rng(43);
  const packed_sample<packed<bf16, 16>> sample(rng, {.means = false});
  const std::vector<std::byte> before(sample.memory.data(),
                                      sample.memory.data() + sample.memory.size());
  op::params p;
  p.protect = {4, 30};
  p.store.tail_capacity = 9;
  const context<bf16> no_parts;
  const cpu::backend b;
  const index_t cap = sample.store.bytes() / 2;
  const std::size_t bytes = op::reroute_within_workspace_bytes(b, sample.store, no_parts, p, cap);
  const aligned_memory ws(bytes), memory(static_cast<std::size_t>(cap));
  std::memset(memory.data(), 0x5a, memory.size());
  const auto refused = [&](const op::params& with, index_t limit, op::store_type to,
                           workspace scratch, errc code, const char* argument) {
    const status s = op::reroute_within(b, sample.store, no_parts, with, limit, to, scratch);
    CHECK(s.code == code);
    CHECK(std::string(s.argument) == argument);
    CHECK(std::memcmp(before.data(), sample.memory.data(), before.size()) == 0);
    for (std::size_t i = 0; i < memory.size(); ++i)
      if (memory.data()[i] != std::byte{0x5a}) FAIL("the memory was written");
  };
  const op::store_type to{memory.data(), cap};
  refused(p, 2000, to, ws.workspace(), errc::budget_too_small, "cap_bytes");
  refused(p, 0, to, ws.workspace(), errc::budget_too_small, "cap_bytes");
  refused(p, -1, to, ws.workspace(), errc::budget_too_small, "cap_bytes");
  refused(p, cap + 1, to, ws.workspace(), errc::store_too_small, "to");
  refused(p, cap - 64, {memory.data() + 8, cap - 8}, ws.workspace(), errc::bad_alignment, "store");
  refused(p, cap, {nullptr, cap}, ws.workspace(), errc::null_view, "store");
  refused(p, cap, to, {ws.data(), 64}, errc::workspace_too_small, "ws");
  refused(p, cap, {ws.data(), cap}, ws.workspace(), errc::overlapping_memory, "to");
  op::params bad = p;
  bad.tokens.budget.ratio = 2;
  refused(bad, cap, to, ws.workspace(), errc::bad_ratio, "tokens.budget");
  bad = p;
  bad.tokens.budget.ratio = 0.05;  // the budget's own fault, not the cap's
  refused(bad, cap, to, ws.workspace(), errc::budget_too_small, "tokens");
  bad = p;
  bad.store.tail_capacity = -1;
  refused(bad, cap, to, ws.workspace(), errc::bad_count, "tail_capacity");
  CHECK(op::reroute_within_workspace_bytes(b, sample.store, no_parts, bad, cap) == 0);
  op::store_type good = to;
  CHECK(op::reroute_within(b, sample.store, no_parts, p, cap, good, ws.workspace()).ok());
}
