// What a stranger's program does with the CPU backend, small: compress a few random tokens, attend.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

namespace {

/// Memory of a size known at run time, aligned as every operator asks for.
class aligned_memory {
 public:
  explicit aligned_memory(std::size_t bytes) : lines_(bytes / 64 + 1) {}
  std::byte* data() { return lines_.data()->bytes; }

 private:
  struct alignas(64) line {
    std::byte bytes[64];
  };
  std::vector<line> lines_;
};

/// First component of the attention output; NaN when an operator refuses.
[[maybe_unused]] float one_step() {
  constexpr rota::index_t tokens = 40, kv_heads = 2, q_heads = 4, d = 64;
  using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                             rota::groups<rota::value_norm, rota::keep_ratio>,
                             rota::packed<rota::bf16, 16>, rota::mean_fill>;

  std::vector<rota::bf16> rows(tokens * kv_heads * d);
  unsigned noise = 1;
  for (rota::bf16& x : rows) {
    noise = noise * 1664525u + 1013904223u;
    x = rota::bf16(static_cast<float>(noise >> 16) / 65536.0f - 0.5f);
  }
  std::array<float, q_heads * d> query, out{};
  query.fill(0.25f);

  rota::cpu::thread_pool pool(2);
  const rota::cpu::backend cpu = pool.get_backend();
  rota::context<rota::bf16> context;
  context.keys = rota::view(rows.data(), tokens, kv_heads, d);
  context.values = context.keys;
  op::params p;
  p.protect = {1, 4};
  p.tokens.budget.ratio = 0.5f;
  p.groups.budget.ratio = 0.5f;

  const std::size_t compress_bytes = op::compress_workspace_bytes(cpu, context, p);
  const rota::index_t store_bytes = op::max_store_bytes(context, p);
  aligned_memory scratch(compress_bytes), memory(static_cast<std::size_t>(store_bytes));
  op::store_type store{memory.data(), store_bytes};
  const float refused = __builtin_nanf("");
  if (!op::compress(cpu, context, p, store, {scratch.data(), compress_bytes})) return refused;

  const rota::attend_item<op::store_type> item{
      rota::view(query.data(), 1, q_heads, d), &store, rota::view(out.data(), 1, q_heads, d), {}};
  const std::size_t attend_bytes = op::attend_workspace_bytes(cpu, {&item, 1}, {});
  aligned_memory attend_scratch(attend_bytes);
  if (!op::attend(cpu, item, {}, {attend_scratch.data(), attend_bytes})) return refused;
  return out[0];
}

}  // namespace
