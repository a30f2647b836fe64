// docs/stores.md: decoding for as long as one likes in memory that never grows; the life of a
// store: copied, saved, restored, rolled back.

#include <algorithm>
#include <utility>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

// operator: begin
using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::fixed_k>,
                           rota::packed<rota::bf16, 16>, rota::mean_fill>;
// operator: end

namespace {

constexpr rota::index_t kv_heads = 2, q_heads = 8, d = 64;
const rota::cpu::backend cpu;

/// What a model would do with a step: attend, and care for nothing else.
void attend(const op::store_type& store, unsigned step) {
  const tutorial::rows<float> q(1, q_heads, d, step);
  tutorial::rows<float> out(1, q_heads, d, 0);
  const rota::attend_item<op::store_type> item{q.view(), &store, out.view(), {}};
  const buffer ws(op::attend_workspace_bytes(cpu, {&item, 1}, {}));
  require(op::attend(cpu, item, {}, ws.workspace()), "attend");
}

/// A store of 64 tokens and a tail of 10.
op::store_type small_store(const buffer& memory, const op::params& p) {
  const tutorial::rows<rota::bf16> k(64, kv_heads, d, 1), v(64, kv_heads, d, 2);
  rota::context<rota::bf16> ctx;
  ctx.keys = k.view();
  ctx.values = v.view();
  op::store_type store{memory.data(), memory.size()};
  const buffer ws(op::compress_workspace_bytes(cpu, ctx, p));
  require(op::compress(cpu, ctx, p, store, ws.workspace()), "compress");
  const tutorial::rows<float> more_k(10, kv_heads, d, 3), more_v(10, kv_heads, d, 4);
  require(op::append(cpu, store, more_k.view(), more_v.view()), "append");
  return store;
}

void decode_under_a_cap() {
  // cap: begin
  op::params p;
  p.protect = {4, 32};        // the first 4 and the last 32 tokens always stay
  p.tokens.budget.ratio = 1;  // as many tokens as fit,
  p.groups.budget.k = 2;      // with the two best of their four value groups
  p.store.tail_capacity = 64;
  const rota::index_t cap = 96 * 1024;  // all of it: header, index, means, records, tail
  const buffer first(cap), second(cap);
  // cap: end

  // start: begin
  rota::context<rota::bf16> nothing;  // no prompt; a compressed one does as well
  const tutorial::rows<rota::bf16> none(0, kv_heads, d, 0);
  nothing.keys = none.view();
  nothing.values = none.view();
  op::store_type store{first.data(), cap}, spare{second.data(), cap};
  const buffer start_ws(op::compress_workspace_bytes(cpu, nothing, p));
  require(op::compress(cpu, nothing, p, store, start_ws.workspace()), "compress");

  const rota::context<rota::bf16> parts;  // key_norm and value_norm need no extra parts
  const buffer ws(op::reroute_within_workspace_bytes(cpu, store, parts, p, cap));
  // start: end

  rota::index_t most = 0;
  int evictions = 0;
  const unsigned steps = 4000;
  for (unsigned step = 0; step < steps; ++step) {
    const tutorial::rows<float> k(1, kv_heads, d, 10 + step), v(1, kv_heads, d, 5000 + step);
    // evict: begin
    rota::status s = op::append(cpu, store, k.view(), v.view());
    if (s == rota::errc::tail_full) {
      require(op::reroute_within(cpu, store, parts, p, cap, spare, ws.workspace()), "re-route");
      std::swap(store, spare);
      s = op::append(cpu, store, k.view(), v.view());
    }
    // evict: end
    const bool evicted = step > 0 && store.tail_count() == 1;
    if (evicted && ++evictions % 20 == 1)
      std::printf("%5d tokens seen, %4lld kept a head in %lld of %lld bytes\n",
                  static_cast<int>(store.next_position()),
                  static_cast<long long>(store.head(0).tokens),
                  static_cast<long long>(store.bytes()), static_cast<long long>(cap));
    require(s, "append");
    most = std::max(most, store.bytes());
    if (step % 100 == 0) attend(store, step);
  }
  expect(store.next_position() == static_cast<rota::position_t>(steps), "positions are kept");
  expect(most <= cap && most > cap - 1024, "the cap is used, and kept");
  expect(evictions == 62, "one eviction a tail");
}

void live_and_let_live() {
  op::params p;
  p.groups.budget.k = 2;
  const buffer memory(std::size_t{64} * 1024);
  op::store_type store = small_store(memory, p);

  // fork: begin
  const buffer other(store.bytes());
  op::store_type fork{other.data(), other.size()};
  require(rota::copy(store, fork), "copy");
  // fork: end
  // back: begin
  require(op::roll_back(cpu, fork, 10), "roll_back");  // the ten tokens of the tail
  const rota::status sealed = op::roll_back(cpu, fork, 1);
  expect(sealed == rota::errc::tail_too_short, "what is sealed stays");
  // back: end
  expect(fork.next_position() == 64 && store.next_position() == 74, "each its own");

  // save: begin
  const std::uint64_t model = 42;  // the engine's number for its weights
  const buffer saved(rota::saved_bytes(store));
  require(op::save(store, p, model, {saved.data(), static_cast<std::size_t>(saved.size())}),
          "save");
  // save: end

  // restore: begin
  const std::span<const std::byte> bytes(saved.data(), static_cast<std::size_t>(saved.size()));
  rota::index_t needed = 0;
  require(rota::restored_bytes<op::store_type>(bytes, p.store.tail_capacity, needed), "restore");
  const buffer home(needed);
  op::store_type back{home.data(), home.size()};
  require(op::restore(bytes, p, model, back), "restore");
  // restore: end
  expect(back.next_position() == 74, "all of it, tail included");

  // refused: begin
  op::params others = p;
  others.groups.budget.k = 3;
  expect(op::restore(bytes, others, model, back) == rota::errc::other_policies, "refused");
  expect(op::restore(bytes, p, model + 1, back) == rota::errc::other_model, "refused");
  saved.data()[1000] ^= std::byte{1};
  expect(op::restore(bytes, p, model, back) == rota::errc::damaged, "refused");
  // refused: end
}

}  // namespace

int main() {
  decode_under_a_cap();
  live_and_let_live();
  return 0;
}
