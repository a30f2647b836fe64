// The README's sample, whole: compress one layer's KV cache, append a token, attend for it.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

namespace {

/// Memory as an engine would own it; Rota itself never allocates.
class engine_memory {
 public:
  std::byte* take(std::size_t bytes) {
    const std::size_t rounded = (bytes + 63) / 64 * 64;
    owned_.emplace_back(static_cast<std::byte*>(std::aligned_alloc(64, rounded ? rounded : 64)));
    return owned_.back().get();
  }
  rota::workspace workspace(std::size_t bytes) { return {take(bytes), bytes}; }

 private:
  struct deleter {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::vector<std::unique_ptr<std::byte, deleter>> owned_;
};

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
  engine_memory memory;

  // readme: begin
  using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,    // who survives
                             rota::groups<rota::value_norm, rota::keep_ratio>,  // what of its value
                             rota::packed<rota::bf16, 16>, rota::mean_fill>;    // how it is stored
  op::params p;
  p.protect = {.sinks = 4, .window = 16};  // kept whole, inside the budgets
  p.tokens.budget.ratio = 0.5;             // half of the tokens, and
  p.groups.budget.ratio = 0.5;             // half of the value groups inside them

  const rota::cpu::backend cpu;  // this thread; thread_pool and executor give more
  op::store_type store{memory.take(op::max_store_bytes(ctx, p)), op::max_store_bytes(ctx, p)};
  rota::status s =
      op::compress(cpu, ctx, p, store, memory.workspace(op::compress_workspace_bytes(cpu, ctx, p)));
  if (s.ok()) s = op::append(cpu, store, key, value);  // the next token, whole
  const rota::attend_item<op::store_type> item{query, &store, out, {}};
  const std::size_t scratch = op::attend_workspace_bytes(cpu, {&item, 1}, {});
  if (s.ok()) s = op::attend(cpu, item, {}, memory.workspace(scratch));
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
