// docs/tutorial.md: dense and paged stores, ragged batches, partial results, statuses.

#include <cmath>
#include <cstring>

#include <rota/attend/merge.hpp>
#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

namespace {

constexpr rota::index_t kv_heads = 2, q_heads = 4, d = 64;

float furthest(const std::vector<float>& a, const std::vector<float>& b) {
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::fmax(most, std::fabs(a[i] - b[i]));
  return most;
}

}  // namespace

int main() {
  const rota::cpu::backend cpu;
  const rota::index_t n = 100;
  const tutorial::rows<float> k(n, kv_heads, d, 1), v(n, kv_heads, d, 2), q(1, q_heads, d, 3);
  tutorial::rows<float> out(1, q_heads, d, 0), other_out(1, q_heads, d, 0);

  // dense: begin
  using dense_op = rota::attention<rota::dense<rota::bf16>>;
  const rota::index_t capacity = 128;
  const buffer cache(2 * kv_heads * capacity * d * 2);
  auto* const rows = reinterpret_cast<rota::bf16*>(cache.data());
  rota::dense_store<rota::bf16> dense;
  dense.keys = rota::view(rows, kv_heads, capacity, d);
  dense.values = rota::view(rows + kv_heads * capacity * d, kv_heads, capacity, d);
  require(dense_op::append(cpu, dense, k.view(), v.view()), "append");
  // dense: end
  expect(dense.length == n && dense.bytes() == cache.size(), "a dense store counts its capacity");

  // paged: begin
  using paged_op = rota::attention<rota::paged<rota::bf16>>;
  const rota::index_t pages = 32, page_tokens = 16;
  const buffer pool(2 * pages * kv_heads * page_tokens * d * 2);
  auto* const slots = reinterpret_cast<rota::bf16*>(pool.data());
  const std::int32_t table[] = {7, 0, 31, 12, 5, 6, 20};  // the engine's allocator gave these
  rota::paged_store<rota::bf16> paged;
  paged.key_pages = rota::view(slots, pages, kv_heads, page_tokens, d);
  paged.value_pages =
      rota::view(slots + pages * kv_heads * page_tokens * d, pages, kv_heads, page_tokens, d);
  paged.block_table = rota::view(table, 7);
  require(paged_op::append(cpu, paged, k.view(), v.view()), "append");
  // paged: end
  expect(paged.capacity() == 112 && paged.length == n, "seven pages of sixteen");

  const rota::attend_item<dense_op::store_type> one{q.view(), &dense, out.view(), {}};
  const buffer one_ws(dense_op::attend_workspace_bytes(cpu, {&one, 1}, {}));
  require(dense_op::attend(cpu, one, {}, one_ws.workspace()), "attend");
  const rota::attend_item<paged_op::store_type> two{q.view(), &paged, other_out.view(), {}};
  const buffer two_ws(paged_op::attend_workspace_bytes(cpu, {&two, 1}, {}));
  require(paged_op::attend(cpu, two, {}, two_ws.workspace()), "attend");
  expect(furthest(out.data(), other_out.data()) < 1e-5f, "the layout does not matter");

  // batch: begin
  rota::dense_store<rota::bf16> shorter = dense;  // another handle on the same rows:
  shorter.length = 40;                            // the sequence as it was 60 tokens ago
  const tutorial::rows<float> many_q(8, q_heads, d, 9);
  tutorial::rows<float> many_out(8, q_heads, d, 0);
  const rota::attend_item<dense_op::store_type> batch[] = {
      {q.view(), &dense, out.view(), {}},               // decoding: one query
      {many_q.view(), &shorter, many_out.view(), {}}};  // its last 8 tokens ask at once
  const buffer ws(dense_op::attend_workspace_bytes(cpu, batch, {}));
  require(dense_op::attend(cpu, std::span(batch), {}, ws.workspace()), "attend");
  // batch: end

  // merge: begin
  rota::dense_store<rota::bf16> prefix = dense, suffix = dense;
  prefix.length = 60;
  suffix.keys.data += 60 * d;  // rows of a head lie one after another
  suffix.values.data += 60 * d;
  suffix.keys.extent[1] = suffix.values.extent[1] = capacity - 60;
  suffix.length = n - 60;
  suffix.first_position = 60;
  std::vector<float> lse_a(q_heads), lse_b(q_heads);
  tutorial::rows<float> part_a(1, q_heads, d, 0), part_b(1, q_heads, d, 0);
  const rota::attend_params everything{.scale = 0, .causal = false, .sliding_window = 0};
  const rota::attend_item<dense_op::store_type> halves[] = {
      {q.view(), &prefix, part_a.view(), rota::view(lse_a.data(), 1, q_heads)},
      {q.view(), &suffix, part_b.view(), rota::view(lse_b.data(), 1, q_heads)}};
  const buffer halves_ws(dense_op::attend_workspace_bytes(cpu, halves, everything));
  require(dense_op::attend(cpu, std::span(halves), everything, halves_ws.workspace()), "attend");
  require(rota::merge({part_a.view(), rota::view(lse_a.data(), 1, q_heads)},
                      {part_b.view(), rota::view(lse_b.data(), 1, q_heads)},
                      {part_a.view(), rota::view(lse_a.data(), 1, q_heads)}),
          "merge");
  // merge: end
  expect(furthest(out.data(), part_a.data()) < 1e-5f, "two halves merge to the whole");

  // status: begin
  const rota::workspace nothing{};
  const rota::status s = dense_op::attend(cpu, one, {}, nothing);
  if (!s.ok()) std::printf("%s: %s\n", s.argument, s.what());  // ws: the workspace is too small ...
  expect(s == rota::errc::workspace_too_small && std::strcmp(s.argument, "ws") == 0, "refused");
  // status: end
  return 0;
}
