// The README's sample, whole: compress one layer's KV cache, append a token, attend for it.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

namespace {

template <class E>
std::vector<E> random_rows(rota::index_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<E> rows(static_cast<std::size_t>(n));
  for (E& x : rows) x = E(normal(rng));
  return rows;
}

}  // namespace

int main() {
  // A context of 4096 tokens in bf16, as a model's prefill leaves it, and one new token.
  const rota::index_t n = 4096, kv_heads = 8, q_heads = 32, d = 128;
  const auto k = random_rows<rota::bf16>(n * kv_heads * d, 1);
  const auto v = random_rows<rota::bf16>(n * kv_heads * d, 2);
  rota::context<rota::bf16> ctx;
  ctx.keys = rota::view(k.data(), n, kv_heads, d);
  ctx.values = rota::view(v.data(), n, kv_heads, d);
  const auto new_k = random_rows<float>(kv_heads * d, 3),
             new_v = random_rows<float>(kv_heads * d, 4);
  const rota::view key(new_k.data(), 1, kv_heads, d), value(new_v.data(), 1, kv_heads, d);
  const auto q = random_rows<float>(q_heads * d, 5);
  std::vector<float> result(q.size());
  const rota::view query(q.data(), 1, q_heads, d);
  const rota::view out(result.data(), 1, q_heads, d);

  // All memory is the engine's, taken once: Rota never allocates. A workspace that is too small is
  // refused; op::compress_workspace_bytes() and its kin tell what is needed.
  const std::size_t arena_bytes = std::size_t{64} << 20;
  const std::unique_ptr<std::byte, decltype(&std::free)> arena(
      static_cast<std::byte*>(std::aligned_alloc(64, arena_bytes)), &std::free);
  std::byte* const memory = arena.get();
  const rota::workspace scratch{memory + arena_bytes / 2, arena_bytes / 2};
  const rota::cpu::backend cpu;  // this thread; thread_pool and executor give more

  // readme: begin
  using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,    // which tokens
                             rota::groups<rota::value_norm, rota::keep_ratio>,  // which groups
                             rota::packed<rota::bf16, 16>, rota::mean_fill>;    // how to store
  op::params p;
  p.protect = {.sinks = 4, .window = 16};               // always whole, counted in the budgets
  p.tokens.budget.ratio = p.groups.budget.ratio = 0.5;  // half the tokens, half of their groups
  op::store_type store{memory, op::max_store_bytes(ctx, p)};  // ctx: K, V [4096, 8, 128]
  rota::status s = op::compress(cpu, ctx, p, store, scratch);
  if (s.ok()) s = op::append(cpu, store, key, value);                      // K, V [1, 8, 128]
  if (s.ok()) s = op::attend(cpu, {query, &store, out, {}}, {}, scratch);  // Q, out [1, 32, 128]
  // readme: end

  if (!s.ok()) {
    std::fprintf(stderr, "quickstart: %s: %s\n", s.argument, s.what());
    return 1;
  }
  const double dense = 2.0 * static_cast<double>(n * kv_heads * d) * sizeof(rota::bf16);
  std::printf("%lld of %.0f bytes kept (%.1f%%)\n", static_cast<long long>(store.sealed_bytes()),
              dense, 100 * static_cast<double>(store.sealed_bytes()) / dense);
  return 0;
}
