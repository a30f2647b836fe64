#include <cstring>

#include <rota/attend/attention.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

#include "cuda/attend_case.hpp"
#include "cuda/captured.hpp"

// A graph that was captured once does what the calls themselves do, bit for bit, after lengths,
// rows and scores in device memory were changed. Each test makes everything twice: one copy is
// worked on by the graph, the other by calls.

namespace {

using rota::bf16;
using rota::index_t;
using rota_test::captured;
using rota_test::device_array;
using rota_test::gpu;
using rota_test::random_layer;

using layout = rota::cuda::packed<bf16, 16>;
using op =
    rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                    rota::groups<rota::value_norm, rota::keep_ratio>, layout, rota::mean_fill>;

constexpr index_t kv_heads = 2, q_heads = 8, d = 64, tokens = 300;
const std::vector<float> no_queries(q_heads* d, 0);

template <class T>
bool same_bits(const device_array<T>& a, const device_array<T>& b) {
  const std::vector<T> x = a.download(), y = b.download();
  return std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

/// A token's rows and queries, and a step of decoding with them over some store.
template <class Store>
struct decoding {
  Store* store;
  device_array<bf16> keys, values;
  rota_test::device_item<Store> item;
  rota_test::device_workspace ws;

  decoding(const gpu& g, Store& s)
      : store(&s),
        keys(kv_heads * d),
        values(kv_heads * d),
        item(no_queries, s, 1, q_heads),
        ws(rota::cuda::attend_workspace_bytes(
            g.backend(), std::span<const rota::attend_item<Store>>(&item.item, 1), {})) {}

  void set(std::uint64_t seed) {
    rota_test::random_source rng(seed);
    const random_layer<bf16> rows(rng, 1, kv_heads, d, d);
    keys.upload(rows.keys);
    values.upload(rows.values);
    std::vector<float> q(no_queries.size());
    for (float& x : q) x = rng.normal();
    item.q.upload(q);
  }
  void step(const rota::cuda::backend& b) {
    const rota::view<const bf16, 3> k(keys.data(), 1, kv_heads, d),
        v(values.data(), 1, kv_heads, d);
    REQUIRE(rota::cuda::append(b, *store, k, v).ok());
    const std::span<const rota::attend_item<Store>> batch(&item.item, 1);
    REQUIRE(rota::cuda::attend(b, batch, {}, ws.get()).ok());
  }
  /// Once by calls, so that the kernels are loaded before a capture.
  void start(const gpu& g) {
    set(1);
    step(g.backend());
  }
  bool answers_as(const decoding& other) const {
    return same_bits(item.out, other.item.out) && same_bits(item.lse, other.item.lse);
  }
};

/// A packed sequence with an empty tail.
struct packed_sequence {
  rota_test::device_store<layout> store;
  decoding<op::store_type> decode;

  packed_sequence(const gpu& g, const rota_test::packed_case<layout>& c)
      : store(c.packed_shape(), tokens), decode(g, packed(g, c)) {}

 private:
  op::store_type& packed(const gpu& g, const rota_test::packed_case<layout>& c) {
    const rota_test::coded_device_layer<bf16> rows(c.layer, c.codec);
    const rota_test::device_selection selected(c.kept);
    REQUIRE(
        rota_test::run_pack(g.backend(), c.packed_shape(), rows.context, selected.kept, store.store)
            .ok());
    REQUIRE(g.result().ok());
    return store.store;
  }
};

TEST_CASE("a graph of append and attend over a packed store" * doctest::skip(rota_test::emulated)) {
  const gpu g;
  rota_test::attend_shape shape;
  shape.tokens = tokens;
  shape.tail = 6;
  shape.means = true;
  const rota_test::packed_case<layout> c(1, shape);
  packed_sequence by_graph(g, c), by_calls(g, c);
  for (packed_sequence* s : {&by_graph, &by_calls}) s->decode.start(g);
  const captured graph(g, [&](const rota::cuda::backend& b) { by_graph.decode.step(b); });
  for (std::uint64_t step = 0; step < 8; ++step) {
    if (step == 4)  // the tail shrinks between two replays
      for (packed_sequence* s : {&by_graph, &by_calls})
        REQUIRE(rota::cuda::roll_back(g.backend(), s->store.store, 3).ok());
    for (packed_sequence* s : {&by_graph, &by_calls}) s->decode.set(10 + step);
    graph.replay();
    by_calls.decode.step(g.backend());
    REQUIRE(g.result().ok());
    CHECK(by_graph.decode.answers_as(by_calls.decode));
    CHECK(same_bits(by_graph.store.memory, by_calls.store.memory));
  }
  CHECK(by_graph.store.to_host().store.tail_count() == 6);
}

/// A dense sequence whose length lies on the device.
struct dense_sequence {
  static constexpr index_t capacity = 200;
  device_array<bf16> keys, values;
  device_array<std::int32_t> length;
  rota::dense_store<bf16> store;
  decoding<rota::dense_store<bf16>> decode;

  dense_sequence(const gpu& g, const random_layer<bf16>& rows)
      : keys(rows.keys),
        values(rows.values),
        length(std::vector<std::int32_t>{100}),
        store(store_in(keys.data(), values.data(), length.data())),
        decode(g, store) {}

 private:
  static rota::dense_store<bf16> store_in(bf16* keys, bf16* values, std::int32_t* length) {
    rota::dense_store<bf16> s;
    s.keys = rota::view<bf16, 3>(keys, kv_heads, capacity, d);
    s.values = rota::view<bf16, 3>(values, kv_heads, capacity, d);
    s.device_length = length;
    return s;
  }
};

TEST_CASE("a graph of append and attend over a dense store of any length" *
          doctest::skip(rota_test::emulated)) {
  gpu g;
  rota_test::random_source rng(2);
  const random_layer<bf16> rows(rng, dense_sequence::capacity, kv_heads, d, d);
  dense_sequence by_graph(g, rows), by_calls(g, rows);
  for (dense_sequence* s : {&by_graph, &by_calls}) s->decode.start(g);
  const captured graph(g, [&](const rota::cuda::backend& b) { by_graph.decode.step(b); });
  const auto step_from = [&](std::int32_t length) {
    for (dense_sequence* s : {&by_graph, &by_calls}) {
      s->length.upload({length});
      s->decode.set(static_cast<std::uint64_t>(length));
    }
    graph.replay();
    by_calls.decode.step(g.backend());
  };
  for (const std::int32_t length : {100, 37, 199, 0, 64}) {
    step_from(length);
    REQUIRE(g.result().ok());
    CHECK(by_graph.length.download()[0] == length + 1);
    CHECK(by_graph.decode.answers_as(by_calls.decode));
    CHECK(same_bits(by_graph.keys, by_calls.keys));
    CHECK(same_bits(by_graph.values, by_calls.values));
  }
  // What only a replay can see is reported, and the graph goes on once it is cleared.
  step_from(dense_sequence::capacity);
  CHECK(g.result() == rota::errc::tail_full);
  g.clear_fault();
  step_from(150);
  CHECK(g.result().ok());
  CHECK(by_graph.decode.answers_as(by_calls.decode));
}

/// A layer whose rows, scores and length change, and what is made of it.
struct changing_layer {
  device_array<bf16> keys, values;
  device_array<float> token_scores, group_scores;
  device_array<std::int32_t> length, indices, counts;
  device_array<rota::group_mask> masks;
  rota::context<bf16> context;
  op::params params;
  rota_test::device_store<layout> store;
  rota_test::device_workspace ws, normalizing;
  static constexpr rota::score_normalization kinds{rota::layer_normalization::rank,
                                                   rota::layer_normalization::standardize};

  explicit changing_layer(const gpu& g)
      : keys(tokens * kv_heads * d),
        values(tokens * kv_heads * d),
        token_scores(kv_heads * tokens),
        group_scores(kv_heads * tokens * (d / op::width)),
        length(1),
        indices(kv_heads * tokens),
        counts(kv_heads),
        masks(kv_heads * tokens),
        context(context_in(keys.data(), values.data(), length.data())),
        params(half()),
        store(op::shape_of(context, params), tokens),
        ws(op::compress_workspace_bytes(g.backend(), context, params)),
        normalizing(normalizing_bytes(g)) {}

  void set(std::uint64_t seed, std::int32_t n) {
    rota_test::random_source rng(seed);
    const random_layer<bf16> rows(rng, tokens, kv_heads, d, d);
    keys.upload(rows.keys);
    values.upload(rows.values);
    for (device_array<float>* scores : {&token_scores, &group_scores}) {
      std::vector<float> x(scores->size());
      for (float& s : x) s = rng.normal();
      scores->upload(x);
    }
    length.upload({n});
  }
  /// From the scores that are given.
  void select_and_pack(const rota::cuda::backend& b) {
    const rota::select_problem problem = op::problem_of(context, params);
    const rota::layer_scores scores{
        rota::view<float, 2>(token_scores.data(), kv_heads, tokens),
        rota::view<float, 3>(group_scores.data(), kv_heads, tokens, d / op::width)};
    const rota::selection kept{rota::view<std::int32_t, 2>(indices.data(), kv_heads, tokens),
                               rota::view<rota::group_mask, 2>(masks.data(), kv_heads, tokens),
                               rota::view<std::int32_t, 1>(counts.data(), kv_heads)};
    REQUIRE(op::select(b, {&problem, 1}, params, {&scores, 1}, {&kept, 1}, ws.get()).ok());
    REQUIRE(op::pack(b, context, kept, params, store.store, ws.get()).ok());
  }
  /// The scores that are given, of a layer of the length that is given.
  void normalize(const rota::cuda::backend& b) {
    const rota::select_problem problem = op::problem_of(context, params);
    const rota::layer_scores scores{
        rota::view<float, 2>(token_scores.data(), kv_heads, tokens),
        rota::view<float, 3>(group_scores.data(), kv_heads, tokens, d / op::width)};
    REQUIRE(op::normalize(b, kinds, {&problem, 1}, {&scores, 1}, normalizing.get()).ok());
  }
  /// From the rows alone.
  void compress(const rota::cuda::backend& b) {
    REQUIRE(op::compress(b, context, params, store.store, ws.get()).ok());
  }
  bool equals(const changing_layer& other) const {
    return same_bits(indices, other.indices) && same_bits(masks, other.masks) &&
           same_bits(counts, other.counts) && same_bits(store.memory, other.store.memory) &&
           same_bits(token_scores, other.token_scores) &&
           same_bits(group_scores, other.group_scores);
  }

 private:
  static rota::context<bf16> context_in(const bf16* k, const bf16* v, const std::int32_t* n) {
    rota::context<bf16> c;
    c.keys = rota::view<const bf16, 3>(k, tokens, kv_heads, d);
    c.values = rota::view<const bf16, 3>(v, tokens, kv_heads, d);
    c.device_tokens = n;
    return c;
  }
  std::size_t normalizing_bytes(const gpu& g) const {
    const rota::select_problem problem = op::problem_of(context, params);
    return op::normalize_workspace_bytes(g.backend(), kinds, {&problem, 1});
  }
  static op::params half() {
    op::params p;
    p.protect = {4, 8};
    p.tokens.budget.ratio = 0.5;
    p.groups.budget.ratio = 0.5;
    p.store.tail_capacity = 4;
    return p;
  }
};

/// The same work by a graph and by calls, for lengths that change.
template <class Work>
void compare_layers(Work&& work) {
  const gpu g;
  changing_layer by_graph(g), by_calls(g);
  for (changing_layer* l : {&by_graph, &by_calls}) {
    l->set(0, tokens);
    work(*l, g.backend());  // once by calls, so that the kernels are loaded before the capture
  }
  const captured graph(g, [&](const rota::cuda::backend& b) { work(by_graph, b); });
  std::uint64_t seed = 1;
  for (const std::int32_t n : {300, 130, 64, 299, 65}) {
    for (changing_layer* l : {&by_graph, &by_calls}) l->set(seed, n);
    ++seed;
    graph.replay();
    work(by_calls, g.backend());
    REQUIRE(g.result().ok());
    CHECK(by_graph.equals(by_calls));
    CHECK(by_graph.store.to_host().store.head(0).tokens == (static_cast<unsigned>(n) + 1) / 2);
  }
}

TEST_CASE("a graph of select and pack" * doctest::skip(rota_test::emulated)) {
  compare_layers([](changing_layer& l, const rota::cuda::backend& b) { l.select_and_pack(b); });
}

TEST_CASE("a graph of normalize, select and pack" * doctest::skip(rota_test::emulated)) {
  compare_layers([](changing_layer& l, const rota::cuda::backend& b) {
    l.normalize(b);
    l.select_and_pack(b);
  });
}

TEST_CASE("a graph of score, select and pack" * doctest::skip(rota_test::emulated)) {
  compare_layers([](changing_layer& l, const rota::cuda::backend& b) { l.compress(b); });
}

/// A packed sequence that is re-routed into other memory, again and again from what it holds then.
struct rerouted_sequence {
  packed_sequence from;
  rota_test::device_store<layout> to;
  op::params params;
  rota_test::device_workspace ws;

  rerouted_sequence(const gpu& g, const rota_test::packed_case<layout>& c)
      : from(g, c),
        to(c.packed_shape(), tokens + 6),
        params(half()),
        ws(op::reroute_workspace_bytes(g.backend(), from.store.store, rota::context<bf16>{},
                                       params)) {}

  void reroute(const rota::cuda::backend& b) {
    const rota::context<bf16> none;
    REQUIRE(op::reroute(b, from.store.store, none, params, to.store, ws.get()).ok());
  }

 private:
  static op::params half() {
    op::params p;
    p.protect = {4, 8};
    p.tokens.budget.ratio = 0.5;
    p.store.tail_capacity = 6;
    return p;
  }
};

TEST_CASE("a graph of re-routing" * doctest::skip(rota_test::emulated)) {
  const gpu g;
  rota_test::attend_shape shape;
  shape.tokens = tokens;
  shape.tail = 6;
  shape.means = true;
  const rota_test::packed_case<layout> c(3, shape);
  rerouted_sequence by_graph(g, c), by_calls(g, c);
  for (rerouted_sequence* s : {&by_graph, &by_calls}) {
    s->from.decode.start(g);
    s->reroute(g.backend());
  }
  const captured graph(g, [&](const rota::cuda::backend& b) { by_graph.reroute(b); });
  for (std::uint64_t step = 0; step < 4; ++step) {
    for (rerouted_sequence* s : {&by_graph, &by_calls}) {
      if (step == 2) REQUIRE(rota::cuda::roll_back(g.backend(), s->from.store.store, 3).ok());
      s->from.decode.set(20 + step);
      s->from.decode.step(g.backend());
    }
    graph.replay();
    by_calls.reroute(g.backend());
    REQUIRE(g.result().ok());
    CHECK(same_bits(by_graph.to.memory, by_calls.to.memory));
    const auto held = by_graph.from.store.to_host(), kept = by_graph.to.to_host();
    CHECK(kept.store.next_position() == held.store.next_position());
    const index_t before =
        static_cast<index_t>(held.store.head(0).tokens) + held.store.tail_count();
    CHECK(static_cast<index_t>(kept.store.head(0).tokens) == (before + 1) / 2);
  }
}

}  // namespace
