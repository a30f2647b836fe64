#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <rota/cpu/attend.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/store/layouts.hpp>

#include "memory.hpp"
#include "probe.hpp"

namespace rota_bench {

using rota::index_t;

/// Bytes that must lie between two uses of the same data.
inline constexpr index_t reuse_distance = index_t{512} << 20;

/// Cheap deterministic noise (xorshift); quality does not matter here.
class noise {
 public:
  explicit noise(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  /// -1 .. 1
  float value() { return static_cast<float>(static_cast<std::int64_t>(bits()) >> 40) * 0x1p-23f; }
  bool chance(double p) { return static_cast<double>(bits() >> 11) * 0x1p-53 < p; }

 private:
  std::uint64_t state_;
};

/// The problem that a line of the benchmark solves.
struct decode_shape {
  index_t kv_heads = 8;
  index_t group = 4;
  index_t tokens = 65536;
  index_t d = 128;
};

/// One layer's KV with random contents, each kv head contiguous.
template <rota::element E>
struct dense_kv {
  big_memory memory;
  rota::dense_store<E> store;

  explicit dense_kv(const decode_shape& s)
      : memory(static_cast<std::size_t>(2 * s.kv_heads * s.tokens * s.d) * sizeof(E)) {
    E* const p = reinterpret_cast<E*>(memory.data());
    const index_t n = s.kv_heads * s.tokens * s.d;
    noise rng(1);
    for (index_t i = 0; i < 2 * n; ++i) p[i] = E(rng.value());
    store.keys = rota::view<E, 3>(p, s.kv_heads, s.tokens, s.d);
    store.values = rota::view<E, 3>(p + n, s.kv_heads, s.tokens, s.d);
    store.length = s.tokens;
  }

  /// [tokens, kv_heads, d] views of the same memory.
  rota::context<E> context() const {
    rota::context<E> c;
    const auto turned = [](const rota::view<E, 3>& v) {
      return rota::view<const E, 3>(v.data, {v.extent[1], v.extent[0], v.extent[2]},
                                    {v.stride[1], v.stride[0], v.stride[2]});
    };
    c.keys = turned(store.keys);
    c.values = turned(store.values);
    return c;
  }
};

/// A random kept set.
struct random_kept {
  std::vector<std::int32_t> indices, counts;
  std::vector<rota::group_mask> masks;
  rota::selection kept;

  random_kept(const decode_shape& s, int groups, double keep_tokens, double keep_groups)
      : indices(static_cast<std::size_t>(s.kv_heads * s.tokens)),
        counts(static_cast<std::size_t>(s.kv_heads)),
        masks(indices.size()) {
    kept.indices = rota::view<std::int32_t, 2>(indices.data(), s.kv_heads, s.tokens);
    kept.masks = rota::view<rota::group_mask, 2>(masks.data(), s.kv_heads, s.tokens);
    kept.counts = rota::view<std::int32_t, 1>(counts.data(), s.kv_heads);
    noise rng(2);
    for (index_t h = 0; h < s.kv_heads; ++h) {
      std::int32_t n = 0;
      for (index_t i = 0; i < s.tokens; ++i) {
        if (!rng.chance(keep_tokens)) continue;
        unsigned mask = 0;
        for (int g = 0; g < groups; ++g) mask |= rng.chance(keep_groups) ? 1u << g : 0u;
        kept.indices(h, n) = static_cast<std::int32_t>(i);
        kept.masks(h, n++) = static_cast<rota::group_mask>(mask);
      }
      kept.counts(h) = n;
    }
  }
};

/// A packed store of such a set.
template <class Layout>
struct packed_kv {
  using E = typename Layout::element_type;
  big_memory memory;
  typename Layout::store_type store;

  packed_kv(const decode_shape& s, const dense_kv<E>& from, double keep_tokens,
            double keep_groups) {
    const random_kept sel(s, static_cast<int>(s.d / Layout::width), keep_tokens, keep_groups);
    const rota::packed_shape shape = Layout::shape(s.kv_heads, s.d, s.d, {}, 0, false);
    const index_t bytes = rota::packed_bytes(shape, sel.kept);
    memory = big_memory(static_cast<std::size_t>(bytes));
    store.data = memory.data();
    store.capacity_bytes = bytes;
    const rota::cpu::backend one;
    const big_memory ws(rota::cpu::pack_workspace_bytes(one, shape) + 64);
    const rota::status done =
        rota::cpu::pack(one, shape, from.context(), sel.kept, store, {ws.data(), ws.size()});
    if (!done) std::abort();
  }
};

/// Attends over one of several copies of a store, a different one each time.
template <class Store>
class rotating_decode {
 public:
  rotating_decode(const decode_shape& s, std::vector<Store> copies)
      : shape_(s),
        copies_(std::move(copies)),
        q_(static_cast<std::size_t>(s.kv_heads * s.group * s.d)),
        out_(q_.size()) {
    noise rng(3);
    for (float& x : q_) x = rng.value();
  }

  rota::attend_item<Store> item(std::size_t copy) {
    rota::attend_item<Store> it;
    it.q = rota::view<const float, 3>(q_.data(), 1, shape_.kv_heads * shape_.group, shape_.d);
    it.out = rota::view<float, 3>(out_.data(), 1, shape_.kv_heads * shape_.group, shape_.d);
    it.store = &copies_[copy];
    return it;
  }

  /// Seconds of one decode step over the next copy.
  double step(const rota::cpu::backend& b) {
    const rota::attend_item<Store> it = item(next_);
    next_ = (next_ + 1) % copies_.size();
    const std::span<const rota::attend_item<Store>> batch(&it, 1);
    const std::size_t bytes = rota::cpu::attend_workspace_bytes(b, batch, {});
    if (ws_.size() < bytes) ws_ = big_memory(bytes);
    const double start = now();
    const rota::status done = rota::cpu::attend(b, batch, {}, {ws_.data(), ws_.size()});
    const double seconds = now() - start;
    if (!done) std::abort();
    return seconds;
  }

  const std::vector<float>& out() const { return out_; }
  index_t bytes() const { return copies_[0].bytes(); }

 private:
  decode_shape shape_;
  std::vector<Store> copies_;
  std::size_t next_ = 0;
  std::vector<float> q_, out_;
  big_memory ws_;
};

}  // namespace rota_bench
