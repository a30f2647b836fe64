// docs/stores.md: read-select. Everything stays in memory, and a step reads the pages of it that
// its query may care for.

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using rota::index_t;
using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

int main() {
  const rota::cpu::backend cpu;
  const index_t kv_heads = 2, q_heads = 8, n = 4096, d = 64, room = 64;
  const index_t capacity = n + room;
  const buffer cache(2 * kv_heads * capacity * d * 2);
  auto* const rows = reinterpret_cast<rota::bf16*>(cache.data());
  rota::dense_store<rota::bf16> store;
  store.keys = rota::view(rows, kv_heads, capacity, d);
  store.values = rota::view(rows + kv_heads * capacity * d, kv_heads, capacity, d);
  const tutorial::rows<float> k(n, kv_heads, d, 1), v(n, kv_heads, d, 2);
  require(rota::cpu::append(cpu, store, k.view(), v.view()), "append");

  // index: begin
  const index_t page_tokens = 16, pages = capacity / page_tokens;
  std::vector<rota::page_ref> refs(static_cast<std::size_t>(kv_heads * pages));
  std::vector<std::int32_t> counts(kv_heads, 0);  // 0: nothing is indexed yet
  std::vector<rota::bf16> bounds(static_cast<std::size_t>(2 * kv_heads * pages * d));
  rota::page_index<rota::bf16> index;
  index.list = {rota::view(refs.data(), kv_heads, pages), rota::view(counts.data(), kv_heads)};
  index.low = rota::view(bounds.data(), kv_heads, pages, d);
  index.high = rota::view(bounds.data() + kv_heads * pages * d, kv_heads, pages, d);
  require(rota::cpu::index_pages(cpu, store, page_tokens, index), "index");
  // index: end

  const index_t read = 32;
  std::vector<rota::page_ref> chosen_refs(static_cast<std::size_t>(kv_heads * read));
  std::vector<std::int32_t> chosen_counts(kv_heads, 0);
  const rota::page_list chosen{rota::view(chosen_refs.data(), kv_heads, read),
                               rota::view(chosen_counts.data(), kv_heads)};
  using part_type = rota::page_view<rota::dense_store<rota::bf16>>;
  const part_type part{&store, chosen};
  for (unsigned step = 0; step < 40; ++step) {
    const tutorial::rows<float> key(1, kv_heads, d, 100 + step), value(1, kv_heads, d, 200 + step);
    const tutorial::rows<float> q(1, q_heads, d, 300 + step);
    tutorial::rows<float> out(1, q_heads, d, 0);
    const buffer choice(rota::cpu::select_pages_workspace_bytes(cpu, index, q.view()));
    // step: begin
    require(rota::cpu::append(cpu, store, key.view(), value.view()), "append");
    require(rota::cpu::index_pages(cpu, store, page_tokens, index), "index");  // the last page
    require(
        rota::cpu::select_pages(cpu, index, q.view(), {.pages = read}, chosen, choice.workspace()),
        "select");
    const rota::attend_item<part_type> item{q.view(), &part, out.view(), {}};
    // step: end
    const std::span<const rota::attend_item<part_type>> batch(&item, 1);
    const buffer ws(rota::cpu::attend_workspace_bytes(cpu, batch, {}));
    require(rota::cpu::attend(cpu, batch, {}, ws.workspace()), "attend");
    expect(counts[0] == (store.length + page_tokens - 1) / page_tokens, "every page is indexed");
  }
  const double all = static_cast<double>(kv_heads * store.length * 2 * d * 2);
  std::printf("a step reads %.1f%% of the keys and values, and an index of %.1f%%\n",
              100 * static_cast<double>(part.read_bytes()) / all,
              100 * static_cast<double>(index.bytes()) / all);
  return 0;
}
