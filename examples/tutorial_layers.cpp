// docs/tutorial.md: an operator for each layer, chosen at run time from a name.

#include <cstring>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

// list: begin
using whole = rota::attention<rota::packed<rota::bf16, 16>>;
using careful = rota::attention<rota::groups<rota::value_norm, rota::keep_ratio>,
                                rota::packed<rota::bf16, 16>, rota::mean_fill>;
using bold =
    rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                    rota::groups<rota::value_norm, rota::fixed_k>, rota::packed<rota::f16, 32>>;
using ops = rota::any_op<whole, careful, bold>;
// list: end

// choose: begin
ops choose(const char* name) {
  if (std::strcmp(name, "careful") == 0) {
    careful::params p;
    p.groups.budget.ratio = 0.75;
    return ops::of<careful>(p);
  }
  if (std::strcmp(name, "bold") == 0) {
    bold::params p;
    p.protect = {.sinks = 4, .window = 16};
    p.tokens.budget.ratio = 0.25;
    p.groups.budget.k = 1;
    return ops::of<bold>(p);
  }
  return ops::of<whole>({});
}
// choose: end

int main() {
  const rota::index_t n = 512, kv_heads = 2, q_heads = 4, d = 64;
  const char* const names[] = {"whole", "careful", "bold"};
  const rota::cpu::backend cpu;
  rota::index_t last = 0;
  for (const char* name : names) {
    const tutorial::rows<rota::bf16> k(n, kv_heads, d, 1), v(n, kv_heads, d, 2);
    const tutorial::rows<float> new_k(1, kv_heads, d, 3), new_v(1, kv_heads, d, 4),
        q(1, q_heads, d, 5);
    tutorial::rows<float> out(1, q_heads, d, 0);
    rota::context<rota::bf16> ctx;
    ctx.keys = k.view();
    ctx.values = v.view();

    // loop: begin
    const ops layer = choose(name);
    const buffer memory(layer.max_store_bytes(ctx));
    const buffer scratch(layer.compress_workspace_bytes(cpu, ctx));
    ops::store_type store;
    require(layer.compress(cpu, ctx, memory.data(), memory.size(), store, scratch.workspace()),
            "compress");
    require(rota::append(cpu, store, new_k.view(), new_v.view()), "append");
    const buffer ws(rota::attend_workspace_bytes(cpu, q.view(), store, out.view(), {}, {}));
    require(rota::attend(cpu, q.view(), store, out.view(), {}, {}, ws.workspace()), "attend");
    // loop: end

    std::printf("%-8s %lld bytes\n", name, static_cast<long long>(store.bytes()));
    expect(last == 0 || store.bytes() < last, "each drops more than the one before");
    last = store.bytes();
  }

  // visit: begin
  const rota::index_t protected_tokens = choose("bold").visit(
      []<class Op>(const typename Op::params& p) { return p.protect.sinks + p.protect.window; });
  // visit: end
  expect(protected_tokens == 20, "visit sees the parameters");
  return 0;
}
