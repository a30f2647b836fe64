// docs/tutorial.md, first part: compress a prefilled context, decode from it, re-route it when its
// tail is full, take tokens back.

#include <utility>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

// operator: begin
using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::packed<rota::bf16, 16>, rota::mean_fill>;
// operator: end

int main() {
  const rota::index_t n = 1024, kv_heads = 2, q_heads = 8, d = 64;
  const rota::cpu::backend cpu;

  // context: begin
  const tutorial::rows<rota::bf16> k(n, kv_heads, d, 1), v(n, kv_heads, d, 2);
  rota::context<rota::bf16> ctx;
  ctx.keys = k.view();    // [tokens, kv_heads, d_k], after RoPE
  ctx.values = v.view();  // [tokens, kv_heads, d_v]
  // context: end

  // params: begin
  op::params p;
  p.protect.sinks = 4;
  p.protect.window = 32;
  p.tokens.budget.ratio = 0.5;
  p.groups.budget.ratio = 0.5;
  p.store.tail_capacity = 64;
  // params: end

  // compress: begin
  const buffer memory(op::max_store_bytes(ctx, p));
  const buffer scratch(op::compress_workspace_bytes(cpu, ctx, p));
  op::store_type store;
  store.data = memory.data();
  store.capacity_bytes = memory.size();
  require(op::compress(cpu, ctx, p, store, scratch.workspace()), "compress");
  // compress: end
  expect(store.bytes() <= memory.size(), "the store fits its memory");
  expect(store.next_position() == n, "the next token stands after the context");

  // trim: begin
  const buffer trimmed(store.bytes());
  op::store_type small{trimmed.data(), trimmed.size()};
  require(rota::copy(store, small), "copy");
  // trim: end
  expect(small.check().ok(), "a copied store is a store");

  // decode: begin
  tutorial::rows<float> out(1, q_heads, d, 0);
  for (unsigned step = 0; step < 64; ++step) {
    const tutorial::rows<float> new_k(1, kv_heads, d, 10 + step), new_v(1, kv_heads, d, 80 + step),
        q(1, q_heads, d, 150 + step);
    require(op::append(cpu, store, new_k.view(), new_v.view()), "append");
    const rota::attend_item<op::store_type> item{q.view(), &store, out.view(), {}};
    const buffer ws(op::attend_workspace_bytes(cpu, {&item, 1}, {}));
    require(op::attend(cpu, item, {}, ws.workspace()), "attend");
  }
  // decode: end

  // full: begin
  const tutorial::rows<float> one_k(1, kv_heads, d, 3), one_v(1, kv_heads, d, 4);
  const rota::status full = op::append(cpu, store, one_k.view(), one_v.view());
  expect(full == rota::errc::tail_full, "the tail holds tail_capacity tokens");
  // full: end

  // reroute: begin
  const rota::context<rota::bf16> parts;  // no extra parts: key_norm and value_norm need none
  const buffer reroute_ws(op::reroute_workspace_bytes(cpu, store, parts, p));
  const buffer other(rota::packed_bytes_bound(op::shape_of(kv_heads, d, d, p), n + 64));
  op::store_type next{other.data(), other.size()};
  require(op::reroute(cpu, store, parts, p, next, reroute_ws.workspace()), "reroute");
  std::swap(store, next);
  // reroute: end
  expect(store.tail_count() == 0 && store.next_position() == n + 64, "the tail was taken in");
  expect(store.sealed_bytes() < next.sealed_bytes(), "fewer tokens, fewer bytes");

  // back: begin
  require(op::append(cpu, store, one_k.view(), one_v.view()), "append");
  require(op::roll_back(cpu, store, 1), "roll_back");
  // back: end
  expect(store.next_position() == n + 64, "taken back");

  std::printf("%lld bytes sealed for %d tokens\n", static_cast<long long>(store.sealed_bytes()),
              static_cast<int>(store.next_position()));
  return 0;
}
