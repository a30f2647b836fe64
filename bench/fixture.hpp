#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include <unistd.h>

#include <rota/attend/reference.hpp>
#include <rota/cpu/append.hpp>
#include <rota/cpu/attend.hpp>
#include <rota/cpu/pack.hpp>
#include <rota/store/copy.hpp>
#include <rota/store/layouts.hpp>

#include "memory.hpp"
#include "probe.hpp"

namespace rota_bench {

using rota::index_t;

/// Bytes that must lie between two uses of the same data: 2 GB, and four times the caches.
inline index_t reuse_distance() {
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return std::max(index_t{2} << 30, 4 * index_t{cache > 0 ? cache : 0});
}

/// How many copies of `bytes` keep the uses of each so far apart.
inline index_t copies_of(index_t bytes) {
  return reuse_distance() / std::max<index_t>(bytes, 1) + 1;
}

inline void must(const rota::status& s, const char* who) {
  if (s) return;
  std::fprintf(stderr, "%s: %s: %s\n", who, s.argument, s.what());
  std::abort();
}

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

/// The cache that a line works on.
struct kv_shape {
  index_t kv_heads = 8;
  index_t tokens = 16384;
  index_t d = 128;

  index_t row_elements() const { return kv_heads * tokens * d; }
};

/// Keys and values of one layer as a prefill leaves them: bf16 noise, each kv head contiguous.
struct layer_rows {
  kv_shape shape;
  big_memory memory;
  rota::context<rota::bf16> context;  ///< [tokens, kv_heads, d] views

  explicit layer_rows(const kv_shape& s)
      : shape(s), memory(static_cast<std::size_t>(2 * s.row_elements()) * sizeof(rota::bf16)) {
    auto* const p = reinterpret_cast<rota::bf16*>(memory.data());
    noise rng(1);
    for (index_t i = 0; i < 2 * s.row_elements(); ++i) p[i] = rota::bf16(rng.value());
    context.keys = rows(p);
    context.values = rows(p + s.row_elements());
  }

 private:
  rota::view<const rota::bf16, 3> rows(const rota::bf16* p) const {
    return {p, {shape.tokens, shape.kv_heads, shape.d}, {shape.d, shape.tokens * shape.d, 1}};
  }
};

/// As many copies of a layer's rows as keep the uses of each apart, for all lines.
inline const std::vector<layer_rows>& shared_layers() {
  static const std::vector<layer_rows> rows = [] {
    std::vector<layer_rows> all;
    const index_t n = copies_of(2 * 2 * kv_shape{}.row_elements());
    for (index_t i = 0; i < n; ++i) all.emplace_back(kv_shape{});
    return all;
  }();
  return rows;
}

/// A dense store of such rows.
template <rota::codec C>
struct dense_kv {
  using store_type = rota::dense_store<C>;
  big_memory memory;
  store_type store;

  explicit dense_kv(const kv_shape& s) : memory(bytes(s)) {
    constexpr rota::codec_sizes size = rota::codec_traits<C>::sizes;
    std::byte* at = memory.data();
    const auto take = [&](index_t n, index_t each) {
      std::byte* const taken = at;
      at += (n * each + 63) / 64 * 64;
      return taken;
    };
    store.keys = rows<rota::key_type_of<C>>(take(s.row_elements(), size.key), s);
    store.values = rows<rota::value_type_of<C>>(take(s.row_elements(), size.value), s);
    store.key_scales = scales(take(s.kv_heads * s.tokens, size.key_scale), s);
    store.value_scales = scales(take(s.kv_heads * s.tokens, size.value_scale), s);
  }
  dense_kv(const kv_shape& s, const layer_rows& from) : dense_kv(s) {
    must(rota::cpu::append(rota::cpu::backend{}, store, from.context.keys, from.context.values),
         "append");
  }

  dense_kv copy(const kv_shape& s) const {
    dense_kv out(s);
    std::memcpy(out.memory.data(), memory.data(), memory.size());
    out.store.length = store.length;
    return out;
  }

 private:
  static std::size_t bytes(const kv_shape& s) {
    constexpr rota::codec_sizes size = rota::codec_traits<C>::sizes;
    const index_t scaled = s.kv_heads * s.tokens * (size.key_scale + size.value_scale);
    return static_cast<std::size_t>(s.row_elements() * (size.key + size.value) + scaled + 256);
  }
  template <class T>
  static rota::view<T, 3> rows(std::byte* p, const kv_shape& s) {
    return rota::view<T, 3>(reinterpret_cast<T*>(p), s.kv_heads, s.tokens, s.d);
  }
  static rota::view<rota::scale_type, 2> scales(std::byte* p, const kv_shape& s) {
    return rota::view<rota::scale_type, 2>(reinterpret_cast<rota::scale_type*>(p), s.kv_heads,
                                           s.tokens);
  }
};

/// A random kept set.
struct random_kept {
  std::vector<std::int32_t> indices, counts;
  std::vector<rota::group_mask> masks;
  rota::selection kept;

  random_kept(const kv_shape& s, int groups, double keep_tokens, double keep_groups)
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
  using store_type = typename Layout::store_type;
  big_memory memory;
  store_type store;

  packed_kv(const kv_shape& s, const layer_rows& from, double keep_tokens, double keep_groups) {
    const random_kept sel(s, static_cast<int>(s.d / Layout::width), keep_tokens, keep_groups);
    const rota::packed_shape shape = Layout::shape(s.kv_heads, s.d, s.d, {}, 0, false);
    take(rota::packed_bytes(shape, sel.kept));
    const rota::cpu::backend one;
    const big_memory ws(rota::cpu::pack_workspace_bytes(one, shape) + 64);
    must(rota::cpu::pack(one, shape, from.context, sel.kept, store, {ws.data(), ws.size()}),
         "pack");
  }

  packed_kv copy(const kv_shape&) const {
    packed_kv out;
    out.take(store.bytes());
    must(rota::copy(store, out.store), "copy");
    return out;
  }

 private:
  packed_kv() = default;
  void take(index_t bytes) {
    memory = big_memory(static_cast<std::size_t>(bytes));
    store.data = memory.data();
    store.capacity_bytes = bytes;
  }
};

/// As many copies of a cache as keep the uses of each apart, taken in turns.
template <class Kv>
class rotating {
 public:
  using store_type = typename Kv::store_type;

  rotating(const kv_shape& s, Kv first) {
    const index_t n = copies_of(first.store.bytes());
    copies_.push_back(std::move(first));
    while (static_cast<index_t>(copies_.size()) < n) copies_.push_back(copies_[0].copy(s));
  }
  const store_type& next() { return copies_[turn_++ % copies_.size()].store; }
  index_t bytes() const { return copies_[0].store.bytes(); }

 private:
  std::vector<Kv> copies_;
  std::size_t turn_ = 0;
};

/// Makes `worst` the larger of both. NaN is worse than anything, and stays.
inline void take_worse(double& worst, double error) {
  if (!(error <= worst) && worst == worst) worst = error;
}

/// Largest relative error of the item's output rows against the oracle.
template <class Store, class Io>
double attend_error(const rota::attend_item<Store, Io>& item) {
  const auto& n = item.out.extent;
  std::vector<double> want(static_cast<std::size_t>(n[0] * n[1] * n[2]));
  rota::reference::attend(item, {}, rota::view<double, 3>(want.data(), n[0], n[1], n[2]));
  double worst = 0;
  for (index_t r = 0; r < n[0] * n[1]; ++r) {
    double difference = 0, size = 0;
    for (index_t c = r * n[2]; c < (r + 1) * n[2]; ++c) {
      const double x = want[static_cast<std::size_t>(c)];
      take_worse(difference,
                 std::fabs(static_cast<double>(static_cast<float>(item.out.data[c])) - x));
      size = std::max(size, std::fabs(x));
    }
    take_worse(worst, difference / size);
  }
  return worst;
}

/// Seconds of a step over a batch; `ws` grows where it is too small.
template <class Store, rota::element Io>
double attend_seconds(const rota::cpu::backend& b,
                      std::span<const rota::attend_item<Store, Io>> batch, big_memory& ws) {
  const std::size_t bytes = rota::cpu::attend_workspace_bytes(b, batch, {});
  if (ws.size() < bytes) ws = big_memory(bytes);
  const double start = now();
  const rota::status done = rota::cpu::attend(b, batch, {}, {ws.data(), ws.size()});
  const double seconds = now() - start;
  must(done, "attend");
  return seconds;
}

/// Queries, outputs and scratch memory of one attention step: G query heads a kv head, n tokens; Io
/// is the element of queries and outputs.
template <class Store, rota::element Io = float>
class attend_step {
 public:
  attend_step(const kv_shape& s, index_t group, index_t n)
      : heads_(s.kv_heads * group),
        n_(n),
        d_(s.d),
        q_(static_cast<std::size_t>(n * heads_ * s.d)),
        out_(q_.size()) {
    noise rng(3);
    for (Io& x : q_) x = Io(rng.value());
  }

  rota::attend_item<Store, Io> item(const Store& store) {
    rota::attend_item<Store, Io> it;
    it.q = rota::view<const Io, 3>(q_.data(), n_, heads_, d_);
    it.out = rota::view<Io, 3>(out_.data(), n_, heads_, d_);
    it.store = &store;
    return it;
  }

  double seconds(const rota::cpu::backend& b, const Store& store) {
    const rota::attend_item<Store, Io> it = item(store);
    return attend_seconds<Store, Io>(b, {&it, 1}, ws_);
  }

  const std::vector<Io>& out() const { return out_; }

 private:
  index_t heads_, n_, d_;
  std::vector<Io> q_, out_;
  big_memory ws_;
};

}  // namespace rota_bench
