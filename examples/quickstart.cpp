// The README's sample, whole: compress one layer's KV cache, then decode a token from it.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

namespace {

/// Memory as an engine would own it; Rota itself never allocates.
std::unique_ptr<std::byte, decltype(&std::free)> allocate(std::size_t bytes) {
  const std::size_t rounded = (bytes + 63) / 64 * 64;
  return {static_cast<std::byte*>(std::aligned_alloc(64, rounded ? rounded : 64)), &std::free};
}

std::vector<rota::bf16> random_rows(std::size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<rota::bf16> rows(n);
  for (rota::bf16& x : rows) x = rota::bf16(normal(rng));
  return rows;
}

int fail(const rota::status& s) {
  std::fprintf(stderr, "quickstart: %s: %s\n", s.argument, s.what());
  return 1;
}

}  // namespace

int main() {
  const rota::index_t n = 4096, kv_heads = 8, q_heads = 32, d = 128;
  const auto k = random_rows(static_cast<std::size_t>(n * kv_heads * d), 1);
  const auto v = random_rows(static_cast<std::size_t>(n * kv_heads * d), 2);
  std::vector<float> q(static_cast<std::size_t>(q_heads * d), 0.1f), out(q.size());

  // readme: begin
  using op =
      rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,    // who survives
                      rota::groups<rota::value_norm, rota::keep_ratio>,  // what is kept inside
                      rota::packed<rota::bf16, 16>, rota::mean_fill>;    // how it is stored
  rota::cpu::thread_pool pool(2);
  const rota::cpu::backend cpu = pool.get_backend();
  rota::context<rota::bf16> ctx;
  ctx.keys = rota::view(k.data(), n, kv_heads, d);
  ctx.values = rota::view(v.data(), n, kv_heads, d);
  op::params p;
  p.protect = {4, 16};          // 4 sinks and the last 16 tokens stay whole
  p.tokens.budget.ratio = 0.5;  // half the tokens ...
  p.groups.budget.ratio = 0.5;  // ... and half of what is inside them

  const auto scratch = allocate(op::compress_workspace_bytes(cpu, ctx, p));
  const auto memory = allocate(static_cast<std::size_t>(op::max_store_bytes(ctx, p)));
  op::store_type store{memory.get(), op::max_store_bytes(ctx, p)};
  rota::status s =
      op::compress(cpu, ctx, p, store, {scratch.get(), op::compress_workspace_bytes(cpu, ctx, p)});
  if (!s) return fail(s);

  const rota::attend_item<op::store_type> item{
      rota::view(q.data(), 1, q_heads, d), &store, rota::view(out.data(), 1, q_heads, d), {}};
  const std::size_t bytes = op::attend_workspace_bytes(cpu, {&item, 1}, {});
  const auto attend_scratch = allocate(bytes);
  s = op::attend(cpu, item, {}, {attend_scratch.get(), bytes});
  // readme: end
  if (!s) return fail(s);

  const double dense = 2.0 * static_cast<double>(n * kv_heads * d) * sizeof(rota::bf16);
  std::printf("%lld of %.0f bytes kept (%.1f%%)\n", static_cast<long long>(store.sealed_bytes()),
              dense, 100 * static_cast<double>(store.sealed_bytes()) / dense);
  return 0;
}
