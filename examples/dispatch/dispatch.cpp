// One program for every x86-64: kernels compiled for three instruction sets, the best of which is
// chosen when the program starts. Here all that the machine has are run, and compared with the
// double-precision reference.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include <cpuid.h>

#include <rota/attend/reference.hpp>
#include <rota/cpu/cpu.hpp>

#include "kernels.hpp"

// dispatch: begin
extern "C" {
extern const dispatch::kernels kernels_v2, kernels_v3, kernels_v4;
}

namespace {

/// What x86-64-v3 has beside that which compilers have names for: MOVBE, F16C, LZCNT.
bool has_rest_of_v3() {
  unsigned a, b, c, d, extended;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !__get_cpuid(0x80000001, &a, &b, &extended, &d))
    return false;
  return (c >> 22 & c >> 29 & extended >> 5 & 1) != 0;
}

struct variant {
  const char* march;
  bool runs_here;
  const dispatch::kernels* table;
};

/// The best first. The builtins ask the operating system too whether it saves the registers.
std::array<variant, 3> variants() {
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") &&
                  __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                  has_rest_of_v3();
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return {{{"x86-64-v4", v4, &kernels_v4},
           {"x86-64-v3", v3, &kernels_v3},
           {"x86-64-v2", v2, &kernels_v2}}};
}
// dispatch: end

constexpr rota::index_t tokens = 700, queries = 3, kv_heads = 2, q_heads = 16, d = 64;

template <class E>
std::vector<E> random_rows(rota::index_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<E> rows(static_cast<std::size_t>(n));
  for (E& x : rows) x = E(normal(rng));
  return rows;
}

using arena = std::unique_ptr<std::byte, decltype(&std::free)>;
arena take(std::size_t bytes) {
  const std::size_t rounded = (bytes / rota::workspace_alignment + 1) * rota::workspace_alignment;
  return {static_cast<std::byte*>(std::aligned_alloc(rota::workspace_alignment, rounded)),
          &std::free};
}

/// Largest difference of a row over its largest component, of all rows.
double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0;
  for (std::size_t row = 0; row < want.size(); row += d) {
    double difference = 0, largest = 0;
    for (std::size_t c = row; c < row + d; ++c) {
      difference = std::max(difference, std::abs(static_cast<double>(got[c]) - want[c]));
      largest = std::max(largest, std::abs(want[c]));
    }
    if (!(difference <= worst * largest)) worst = difference / largest;  // NaN is the worst
  }
  return worst;
}

/// Relative error of a variant over this store; infinite where it refuses.
double error_of(const dispatch::kernels& k, dispatch::item item, const std::vector<double>& want) {
  std::vector<float> result(want.size(), std::nanf(""));
  item.out = rota::view(result.data(), queries, q_heads, d);
  const rota::cpu::backend cpu;
  const std::size_t bytes = k.attend_workspace_bytes(cpu, {&item, 1}, {});
  const arena scratch = take(bytes);
  if (!k.attend(cpu, {&item, 1}, {}, {scratch.get(), bytes})) return HUGE_VAL;
  return relative_error(result, want);
}

}  // namespace

int main() {
  const auto k = random_rows<rota::bf16>(tokens * kv_heads * d, 1);
  const auto v = random_rows<rota::bf16>(tokens * kv_heads * d, 2);
  const auto q = random_rows<float>(queries * q_heads * d, 3);
  rota::context<rota::bf16> ctx;
  ctx.keys = rota::view(k.data(), tokens, kv_heads, d);
  ctx.values = rota::view(v.data(), tokens, kv_heads, d);
  dispatch::op::params p;
  p.tokens.budget.ratio = p.groups.budget.ratio = 0.5;

  // The rest of the program is compiled for any x86-64; so is this.
  const rota::cpu::backend cpu;
  const std::size_t scratch_bytes = dispatch::op::compress_workspace_bytes(cpu, ctx, p);
  const rota::index_t store_bytes = dispatch::op::max_store_bytes(ctx, p);
  const arena scratch = take(scratch_bytes), memory = take(static_cast<std::size_t>(store_bytes));
  dispatch::store_type store{memory.get(), store_bytes};
  if (!dispatch::op::compress(cpu, ctx, p, store, {scratch.get(), scratch_bytes})) return 1;

  const dispatch::item item{rota::view(q.data(), queries, q_heads, d), &store, {}, {}};
  std::vector<double> want(q.size());
  rota::reference::attend(item, {}, rota::view(want.data(), queries, q_heads, d));

  const char* chosen = nullptr;
  bool right = true;
  for (const variant& one : variants()) {
    if (!one.runs_here) {
      std::printf("%s: not on this machine\n", one.march);
      continue;
    }
    if (chosen == nullptr) chosen = one.march;
    const double error = error_of(*one.table, item, want);
    right = right && error <= 1e-5;
    std::printf("%s: kernels for %s, relative error %.1e\n", one.march, one.table->isa, error);
  }
  if (!right || chosen == nullptr) return 1;
  std::printf("chosen: %s\n", chosen);
  return 0;
}
