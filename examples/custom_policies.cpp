// Policies of your own, written outside the library and composed with the stock ones: a pointwise
// token scorer, a token scorer that needs a reduction first, a group scorer and a budget. No base
// class, no registration: a tag, a params struct and static functions. docs/policies.md explains.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
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

namespace {

/// Compresses a random layer with `Op` and says what was kept.
template <class Op>
bool report(const char* name, const typename Op::params& p) {
  const rota::index_t n = 2048, kv_heads = 4, d = 64;
  std::mt19937 rng(7);
  std::normal_distribution<float> normal;
  std::vector<float> k(static_cast<std::size_t>(n * kv_heads * d)), v(k.size());
  for (float& x : k) x = normal(rng);
  for (float& x : v) x = normal(rng);
  rota::context<float> ctx;
  ctx.keys = rota::view<const float, 3>(k.data(), n, kv_heads, d);
  ctx.values = rota::view<const float, 3>(v.data(), n, kv_heads, d);

  const rota::cpu::backend cpu;
  const auto allocate = [](std::size_t bytes) {
    return std::unique_ptr<std::byte, decltype(&std::free)>(
        static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), &std::free);
  };
  const std::size_t scratch_bytes = Op::compress_workspace_bytes(cpu, ctx, p);
  const rota::index_t store_bytes = Op::max_store_bytes(ctx, p);
  const auto scratch = allocate(scratch_bytes);
  const auto memory = allocate(static_cast<std::size_t>(store_bytes));
  typename Op::store_type store{memory.get(), store_bytes};
  if (const rota::status s = Op::compress(cpu, ctx, p, store, {scratch.get(), scratch_bytes}); !s) {
    std::fprintf(stderr, "%s: %s: %s\n", name, s.argument, s.what());
    return false;
  }
  std::printf("%-34s", name);
  for (rota::index_t h = 0; h < kv_heads; ++h)
    std::printf("  head %lld: %4llu tokens, %5llu groups", static_cast<long long>(h),
                static_cast<unsigned long long>(store.head(h).tokens),
                static_cast<unsigned long long>(store.head(h).slices));
  std::printf("\n");
  return true;
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

  heavy::params f;
  f.tokens.budget.ratio = 0.5;

  const bool good = told_apart && report<heavy>("value_sum x keep_ratio", f) &&
                    report<recent>("decayed_norm x keep_ratio", a) &&
                    report<diverse>("key_diversity x root, value_peak", b) &&
                    report<mixed>("key_norm, value_peak x root", c);
  return good ? 0 : 1;
}
