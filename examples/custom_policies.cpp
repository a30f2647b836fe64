// Policies of your own, written outside the library and composed with the stock ones: a pointwise
// token scorer, a token scorer that needs a reduction first, a group scorer and a budget. No base
// class, no registration: a tag, a params struct and static functions. docs/policies.md explains.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

// smallest: begin
struct value_sum {  // keeps the tokens with the largest L1 norm of their value
  using policy_kind = rota::token_scorer_tag;
  struct params {};
  static float score(const params&, const rota::token_ref& t) {
    float sum = 0;
    for (int i = 0; i < t.d_v; ++i) sum += std::fabs(t.value[i]);
    return sum;
  }
};
using heavy = rota::attention<rota::tokens<value_sum, rota::keep_ratio>>;
// smallest: end

// pointwise: begin
/// Pointwise: the newer the better, large keys first among equals.
struct decayed_norm {
  using policy_kind = rota::token_scorer_tag;
  struct params {
    float half_life = 256;  ///< tokens after which a score has halved
  };
  ROTA_HD static float score(const params& p, const rota::token_ref& t) {
    float sum = 0;
    for (int i = 0; i < t.d_k; ++i) sum += t.key[i] * t.key[i];
    const float age = static_cast<float>(t.tokens - 1 - t.index);
    return std::sqrt(sum) * std::exp2(-age / p.half_life);
  }
};
static_assert(rota::token_scorer<decayed_norm>);
// pointwise: end

// saved: begin
/// The same, and its stores can be saved: they remember by what they were made.
struct saved_norm : decayed_norm {
  static void describe(const params& p, rota::fingerprint& f) {
    f.add("decayed_norm").add(p.half_life);
  }
};
static_assert(rota::described_policy<saved_norm>);
// saved: end

// reduced: begin
/// Needs a reduction: keys unlike the mean direction of all keys (KeyDiff, arXiv 2504.15364).
struct key_diversity {
  using policy_kind = rota::token_scorer_tag;
  struct params {};

  static rota::index_t sums(const params&, int d_k, int) { return d_k; }

  ROTA_HD static void accumulate(const params&, const rota::token_ref& t, float* sums) {
    const float length = norm(t.key, t.d_k);
    for (int i = 0; i < t.d_k; ++i) sums[i] += t.key[i] / length;
  }
  ROTA_HD static void finish(const params&, const rota::token_ref& any, float* sums) {
    const float length = norm(sums, any.d_k);
    for (int i = 0; i < any.d_k; ++i) sums[i] /= length;
  }
  ROTA_HD static float score(const params&, const rota::token_ref& t, const float* mean) {
    float dot = 0;
    for (int i = 0; i < t.d_k; ++i) dot += t.key[i] * mean[i];
    return -dot / norm(t.key, t.d_k);
  }

 private:
  ROTA_HD static float norm(const float* x, int n) {
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i] * x[i];
    return std::sqrt(std::max(sum, 1e-30f));
  }
};
static_assert(rota::token_scorer<key_diversity>);
// reduced: end

// groups: begin
/// Group scorer: the largest magnitude of the slice.
struct value_peak {
  using policy_kind = rota::group_scorer_tag;
  struct params {};
  ROTA_HD static float score(const params&, const rota::group_ref& g) {
    float top = 0;
    for (int i = 0; i < g.width; ++i) top = std::max(top, std::fabs(g.slice[i]));
    return top;
  }
};
static_assert(rota::group_scorer<value_peak>);
// groups: end

// budget: begin
/// Budget: grows with the square root of what there is, over all heads of a layer at once.
struct root_budget {
  using policy_kind = rota::budget_tag;
  struct params {
    double factor = 8;
  };
  static constexpr rota::budget_scope scope = rota::budget_scope::layer;
  static rota::status check(const params& p) {
    if (!(p.factor > 0)) return {rota::errc::bad_parameter, "factor"};
    return {};
  }
  static rota::index_t count(const params& p, rota::index_t items) {
    const double wanted = p.factor * std::sqrt(static_cast<double>(items));
    return std::min(items, static_cast<rota::index_t>(wanted));
  }
};
static_assert(rota::budget<root_budget>);
// budget: end

// heads: begin
/// Budget: every kv head has its own share, from a table that a calibration made. What keeps all
/// in a few retrieval heads and little in the others (DuoAttention, arXiv 2410.10819).
struct head_shares {
  using policy_kind = rota::budget_tag;
  struct params {
    std::span<const double> ratio;  ///< [layers * heads], each in [0, 1]
  };
  static constexpr rota::budget_scope scope = rota::budget_scope::head;
  static rota::status check(const params& p) {
    for (const double r : p.ratio)
      if (!(r >= 0 && r <= 1)) return {rota::errc::bad_ratio, "ratio"};
    return {};
  }
  static rota::index_t count(const params& p, rota::index_t items, const rota::budget_place& at) {
    const auto cell = static_cast<std::size_t>(at.layer * at.heads + at.head);
    if (cell >= p.ratio.size()) return -1;  // bad_count: the table is of another model
    return std::llround(p.ratio[cell] * static_cast<double>(items));
  }
};
static_assert(rota::budget<head_shares>);
// heads: end

namespace {

/// Memory as stores and workspaces want it.
class buffer {
 public:
  explicit buffer(std::size_t bytes)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)),
                &std::free),
        bytes_(bytes) {}
  std::byte* data() const { return memory_.get(); }
  rota::workspace workspace() const { return {data(), bytes_}; }

 private:
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  std::size_t bytes_;
};

/// A store and its memory.
template <class Op>
struct owned_store {
  buffer memory;
  typename Op::store_type store;
  explicit owned_store(rota::index_t bytes)
      : memory(static_cast<std::size_t>(bytes)), store{memory.data(), bytes} {}
};

/// A layer of random keys and values.
struct layer {
  static constexpr rota::index_t n = 2048, kv_heads = 4, d = 64;
  std::vector<float> k, v;
  rota::context<float> context;

  layer() : k(static_cast<std::size_t>(n * kv_heads * d)), v(k.size()) {
    std::mt19937 rng(7);
    std::normal_distribution<float> normal;
    for (float& x : k) x = normal(rng);
    for (float& x : v) x = normal(rng);
    context.keys = rota::view<const float, 3>(k.data(), n, kv_heads, d);
    context.values = rota::view<const float, 3>(v.data(), n, kv_heads, d);
  }
};

const rota::cpu::backend cpu;

bool succeeded(const char* name, const rota::status& s) {
  if (!s) std::fprintf(stderr, "%s: %s: %s\n", name, s.argument, s.what());
  return s.ok();
}

template <class Store>
void print(const char* name, const Store& store) {
  std::printf("%-34s", name);
  for (rota::index_t h = 0; h < store.kv_heads(); ++h)
    std::printf("  head %lld: %4llu tokens, %5llu groups", static_cast<long long>(h),
                static_cast<unsigned long long>(store.head(h).tokens),
                static_cast<unsigned long long>(store.head(h).slices));
  std::printf("\n");
}

/// Compresses a layer with `Op` and says what was kept.
template <class Op>
bool report(const char* name, const layer& l, const typename Op::params& p) {
  const buffer ws(Op::compress_workspace_bytes(cpu, l.context, p));
  owned_store<Op> to(Op::max_store_bytes(l.context, p));
  if (!succeeded(name, Op::compress(cpu, l.context, p, to.store, ws.workspace()))) return false;
  print(name, to.store);
  return true;
}

/// Heads of different shares, compressed and then routed again: each keeps its own share of what
/// it holds by then.
template <class Op>
bool report_again(const char* name, const layer& l, const typename Op::params& p) {
  const buffer ws(Op::compress_workspace_bytes(cpu, l.context, p));
  owned_store<Op> first(Op::max_store_bytes(l.context, p)),
      again(Op::max_store_bytes(l.context, p));
  if (!succeeded(name, Op::compress(cpu, l.context, p, first.store, ws.workspace()))) return false;
  const rota::context<float> no_parts;
  const buffer more(Op::reroute_workspace_bytes(cpu, first.store, no_parts, p));
  if (!succeeded(name, Op::reroute(cpu, first.store, no_parts, p, again.store, more.workspace())))
    return false;
  print(name, first.store);
  print("  routed again", again.store);
  bool right = true;
  for (rota::index_t h = 0; h < layer::kv_heads; ++h) {
    const double share = p.tokens.budget.ratio[static_cast<std::size_t>(h)];
    const auto kept = [share](rota::index_t n) {
      return static_cast<std::uint64_t>(std::llround(share * static_cast<double>(n)));
    };
    const auto held = static_cast<rota::index_t>(first.store.head(h).tokens);
    right = right && first.store.head(h).tokens == kept(layer::n) &&
            again.store.head(h).tokens == kept(held);
  }
  return right;
}

}  // namespace

int main() {
  // compose: begin
  using namespace rota;
  using store = packed<bf16, 16>;

  using recent = attention<tokens<decayed_norm, keep_ratio>, store>;
  recent::params a;
  a.tokens.scorer.half_life = 512;
  a.tokens.budget.ratio = 0.25;

  using diverse =
      attention<tokens<key_diversity, root_budget>, groups<value_peak, keep_ratio>, store>;
  diverse::params b;
  b.groups.budget.ratio = 0.5;

  using mixed = attention<tokens<key_norm, keep_ratio>, groups<value_peak, root_budget>, store>;
  mixed::params c;
  c.tokens.budget.ratio = 0.5;
  c.groups.budget.factor = 32;
  // compose: end

  using kept = attention<tokens<saved_norm, keep_ratio>, store>;
  kept::params d, e;
  e.tokens.scorer.half_life = 100;
  const bool told_apart = kept::fingerprint(d) != kept::fingerprint(e);

  using retrieval = attention<tokens<window_sink, head_shares>, store>;
  retrieval::params f;
  f.protect = {4, 16};
  const double shares[] = {1, 0.25, 0.25, 0.5};
  f.tokens.budget.ratio = shares;

  heavy::params g;
  g.tokens.budget.ratio = 0.5;

  const layer l;
  const bool good = told_apart && report<heavy>("value_sum x keep_ratio", l, g) &&
                    report<recent>("decayed_norm x keep_ratio", l, a) &&
                    report<diverse>("key_diversity x root, value_peak", l, b) &&
                    report<mixed>("key_norm, value_peak x root", l, c) &&
                    report_again<retrieval>("window_sink x head_shares", l, f);
  return good ? 0 : 1;
}
