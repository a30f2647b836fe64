#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <rota/policy/concepts.hpp>
#include <rota/store/packed.hpp>

#include "support/random.hpp"

// What a packed store should hold, as plain vectors: it shares no code with stores and operators,
// only the block as the documentation describes it.

namespace rota_test {

/// Policies whose scores the oracle can read off: a key's first number, a slice's first number.
struct first_of_key {
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  static float score(const params&, const rota::token_ref& t) { return t.key[0]; }
};
struct first_of_slice {
  using policy_kind = rota::group_scorer_tag;
  struct params {};
  static float score(const params&, const rota::group_ref& g) { return g.slice[0]; }
};

/// n numbers that f32, bf16 and int8 (with its scale) all hold exactly: whole numbers up to 127,
/// which is among them, times a power of two.
inline void exact_row(random_source& rng, float* row, std::int64_t n) {
  const float unit = std::ldexp(1.0f, static_cast<int>(rng.between(-6, -3)));
  for (std::int64_t i = 0; i < n; ++i) row[i] = unit * static_cast<float>(rng.between(-127, 127));
  row[rng.below(n)] = unit * (rng.chance(0.5) ? 127.0f : -127.0f);
}

struct plain_shape_of_cache {
  std::int64_t heads = 1, d_k = 8, groups = 1, width = 8;
  int significand = 24;  ///< bits of the type that a row is unpacked to
  std::int64_t d_v() const { return groups * width; }
};

/// How a store was selected anew; -1: not limited, or not known.
struct plain_limits {
  std::int64_t sinks = 0, window = 0;
  std::int64_t tokens = -1;  ///< that each head keeps, if it has so many
  std::int64_t groups = -1;  ///< that a token which is not protected keeps, if it has so many
};

class plain_cache {
 public:
  struct token {
    std::int64_t at = 0;
    std::vector<double> key, value;
    unsigned mask = 0;
    bool has(std::int64_t group) const { return (mask >> group & 1) != 0; }
  };

  explicit plain_cache(const plain_shape_of_cache& s)
      : s_(s),
        heads_(static_cast<std::size_t>(s.heads)),
        means_(heads_.size(), std::vector<double>(static_cast<std::size_t>(s.d_v()), 0.0)) {}

  const plain_shape_of_cache& shape() const { return s_; }
  std::int64_t next() const { return next_; }
  std::int64_t tail() const { return tail_; }
  std::int64_t tokens(std::size_t head) const {
    return static_cast<std::int64_t>(heads_[head].size());
  }

  /// One token: keys [heads, d_k], values [heads, d_v].
  void append(const float* keys, const float* values) {
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      const auto head = static_cast<std::ptrdiff_t>(h);
      const float *const k = keys + head * s_.d_k, *const v = values + head * s_.d_v();
      heads_[h].push_back({next_, {k, k + s_.d_k}, {v, v + s_.d_v()}, (1u << s_.groups) - 1});
    }
    ++next_;
    ++tail_;
  }
  void roll_back(std::int64_t n) {
    for (auto& head : heads_) head.resize(head.size() - static_cast<std::size_t>(n));
    next_ -= n;
    tail_ -= n;
  }

  /// Takes over what `store` kept of this, after checking that the limits allow it.
  template <class Store>
  void select_again(const Store& store, const plain_limits& limits) {
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      const std::vector<kept_token> kept = read(store, h);
      check_choice(h, kept, limits);
      take_over(h, kept);
    }
    tail_ = 0;
  }

  /// Whether the store holds just this.
  template <class Store>
  void check(const Store& store) const {
    REQUIRE(store.next_position() == next_);
    REQUIRE(store.tail_count() == tail_);
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      const std::vector<kept_token> found = read(store, h);
      REQUIRE(found.size() == heads_[h].size());
      std::size_t same = 0;
      while (same < found.size() && is_same(found[same], heads_[h][same])) ++same;
      REQUIRE_MESSAGE(same == found.size(), "head ", h, " has another token ", same);
      check_means(store, h);
    }
  }

  /// Attention of one query of head h over everything, in double; [d_v].
  std::vector<double> attend(std::size_t h, const float* q) const {
    std::vector<double> weights;
    double top = -1e300;
    for (const token& t : heads_[h]) {
      double dot = 0;
      for (std::size_t c = 0; c < t.key.size(); ++c) dot += t.key[c] * static_cast<double>(q[c]);
      weights.push_back(dot / std::sqrt(static_cast<double>(s_.d_k)));
      top = std::max(top, weights.back());
    }
    double sum = 0;
    for (double& w : weights) sum += w = std::exp(w - top);
    std::vector<double> out(static_cast<std::size_t>(s_.d_v()), 0.0);
    for (std::size_t i = 0; i < weights.size(); ++i)
      for (std::size_t c = 0; c < out.size(); ++c)
        out[c] += weights[i] / sum *
                  (heads_[h][i].has(group_of(c)) ? heads_[h][i].value[c] : means_[h][c]);
    return out;
  }

 private:
  struct kept_token : token {};  // as it lies in a store: values of absent groups are 0

  std::int64_t group_of(std::size_t channel) const {
    return static_cast<std::int64_t>(channel) / s_.width;
  }

  /// x as the type of unpacked rows holds it.
  double rounded(double x) const {
    if (x == 0) return 0;
    int exponent = 0;
    const double fraction = std::frexp(static_cast<double>(static_cast<float>(x)), &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, s_.significand)),
                      exponent - s_.significand);
  }

  // --- reading a store ---

  template <class T>
  static double number(T x, const rota::scale_type* scales, std::int64_t scale) {
    if constexpr (std::is_same_v<T, rota::int8>)
      return x.bits * static_cast<double>(static_cast<float>(scales[scale]));
    else
      return static_cast<double>(static_cast<float>(x));
  }

  template <class Store>
  std::vector<kept_token> read(const Store& store, std::size_t h) const {
    std::vector<kept_token> all;
    const auto head = static_cast<std::int64_t>(h);
    for (std::int64_t i = 0; i < store.block_count(head); ++i) {
      const auto b = store.block_at(head, i);
      const std::size_t first = all.size();
      for (std::int64_t j = 0; j < b.count; ++j) {
        kept_token t;
        t.at = b.position(j);
        t.value.assign(static_cast<std::size_t>(s_.d_v()), 0.0);
        for (std::int64_t c = 0; c < s_.d_k; ++c)
          t.key.push_back(number(b.keys[j * b.key_stride + c], b.key_scales, j));
        all.push_back(std::move(t));
      }
      read_values(b, &all[first]);
    }
    return all;
  }

  template <class Block>
  void read_values(const Block& b, kept_token* tokens) const {
    const auto put = [&](std::int64_t j, std::int64_t g, std::int64_t at, std::int64_t scale) {
      tokens[j].mask |= 1u << g;
      for (std::int64_t c = 0; c < s_.width; ++c)
        tokens[j].value[static_cast<std::size_t>(g * s_.width + c)] =
            number(b.values[at + c], b.value_scales, scale);
    };
    for (std::int64_t g = 0; g < s_.groups; ++g)
      for (std::int64_t j = 0; j < b.count; ++j) {
        if (b.order == rota::value_order::whole) {
          put(j, g, j * b.value_stride + g * s_.width, j * b.value_scale_stride + g);
        } else if (b.order == rota::value_order::token_major) {
          if ((b.masks[j] >> g & 1) == 0) continue;
          const int before = __builtin_popcount(b.masks[j] & ((1u << g) - 1));
          put(j, g, (b.starts[j] + before) * s_.width, b.starts[j] + before);
        } else {
          const auto* const end = b.members + b.starts[g + 1];
          const auto* const member = std::find(b.members + b.starts[g], end, j);
          if (member != end) put(j, g, (member - b.members) * s_.width, member - b.members);
        }
      }
  }

  // --- checks ---

  bool is_same(const kept_token& found, const token& want) const {
    if (found.at != want.at || found.mask != want.mask || found.key != want.key) return false;
    for (std::size_t c = 0; c < found.value.size(); ++c)
      if (want.has(group_of(c)) && found.value[c] != want.value[c]) return false;
    return true;
  }

  template <class Store>
  void check_means(const Store& store, std::size_t h) const {
    const float* const means = store.means(static_cast<std::int64_t>(h));
    if (means == nullptr) return;
    // Where a mean lies between two numbers of the type, either may stand in for it.
    const double unit = std::ldexp(1.0, 2 - std::min(s_.significand, 17));
    double worst = 0;
    for (std::size_t c = 0; c < means_[h].size(); ++c)
      worst = std::max(worst, std::fabs(static_cast<double>(means[c]) - means_[h][c]) /
                                  (std::fabs(means_[h][c]) + 0.25));
    REQUIRE(worst <= unit);
  }

  static bool is_protected(std::size_t i, std::size_t n, const plain_limits& limits) {
    const auto place = static_cast<std::int64_t>(i), all = static_cast<std::int64_t>(n);
    return place < limits.sinks || place >= all - limits.window;
  }

  /// Of each token, whether the store has kept it.
  std::vector<const kept_token*> match(std::size_t h, const std::vector<kept_token>& kept) const {
    std::vector<const kept_token*> of(heads_[h].size(), nullptr);
    std::size_t next = 0;
    for (const kept_token& k : kept) {
      while (next < of.size() && heads_[h][next].at != k.at) ++next;
      if (next == of.size()) FAIL("position ", k.at, " was not there, or is out of order");
      of[next++] = &k;
    }
    return of;
  }

  void check_choice(std::size_t h, const std::vector<kept_token>& kept,
                    const plain_limits& limits) const {
    const std::vector<token>& before = heads_[h];
    const auto of = match(h, kept);
    if (limits.tokens >= 0)
      REQUIRE(kept.size() == std::min(before.size(), static_cast<std::size_t>(limits.tokens)));
    double worst_kept = 1e300, best_dropped = -1e300;
    bool spares = true, chooses = true;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const bool spared = is_protected(i, before.size(), limits);
      if (of[i] == nullptr) {
        spares = spares && !spared;
        best_dropped = std::max(best_dropped, before[i].key[0]);
        continue;
      }
      if (!spared) worst_kept = std::min(worst_kept, before[i].key[0]);
      chooses = chooses && has_best_groups(before[i], *of[i], spared ? -1 : limits.groups);
    }
    REQUIRE(spares);
    REQUIRE(chooses);
    REQUIRE(worst_kept >= best_dropped);
  }

  /// `most`: groups that may stay; -1: all.
  bool has_best_groups(const token& before, const kept_token& now, std::int64_t most) const {
    const int had = __builtin_popcount(before.mask);
    const int may = most < 0 ? had : std::min(had, static_cast<int>(most));
    if ((now.mask & ~before.mask) != 0 || __builtin_popcount(now.mask) != may) return false;
    double worst_kept = 1e300, best_dropped = -1e300;
    for (std::int64_t g = 0; g < s_.groups; ++g) {
      if (!before.has(g)) continue;
      const double score = before.value[static_cast<std::size_t>(g * s_.width)];
      double& bound = now.has(g) ? worst_kept : best_dropped;
      bound = now.has(g) ? std::min(bound, score) : std::max(bound, score);
    }
    return worst_kept >= best_dropped;
  }

  void take_over(std::size_t h, const std::vector<kept_token>& kept) {
    std::vector<token> now;
    std::vector<double> sums(means_[h].size(), 0.0), counts(sums.size(), 0.0);
    const auto of = match(h, kept);
    for (std::size_t i = 0; i < of.size(); ++i) {
      if (of[i] == nullptr) continue;
      const token& was = heads_[h][i];
      for (std::size_t c = 0; c < sums.size(); ++c) {
        if (of[i]->has(group_of(c))) continue;
        sums[c] += was.has(group_of(c)) ? was.value[c] : rounded(means_[h][c]);
        counts[c] += 1;
      }
      now.push_back(was);
      now.back().mask = of[i]->mask;
    }
    for (std::size_t c = 0; c < sums.size(); ++c) means_[h][c] = sums[c] / std::max(counts[c], 1.0);
    heads_[h] = std::move(now);
  }

  plain_shape_of_cache s_;
  std::vector<std::vector<token>> heads_;
  std::vector<std::vector<double>> means_;
  std::int64_t next_ = 0;
  std::int64_t tail_ = 0;
};

}  // namespace rota_test
