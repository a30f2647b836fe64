// docs/tutorial.md: the small pool that comes with Rota, and an engine's own pool behind the
// executor hook. Results are the same bits.

#include <atomic>
#include <cstring>
#include <thread>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "tutorial.hpp"

using tutorial::buffer;
using tutorial::expect;
using tutorial::require;

// executor: begin
/// Stands for an engine's own pool: something that can run n jobs side by side.
struct engine_pool {
  static constexpr int threads = 3;

  static void run(void* /*self*/, rota::index_t count, rota::cpu::executor::task task,
                  void* context) {
    std::atomic<rota::index_t> next{0};
    const auto work = [&](int worker) {
      for (rota::index_t i = next++; i < count; i = next++) task(context, i, worker);
    };
    std::thread second(work, 1), third(work, 2);
    work(0);
    second.join();
    third.join();
  }

  rota::cpu::backend backend() { return {{&run, this, threads}}; }
};
// executor: end

namespace {

std::vector<float> decode(const rota::cpu::backend& cpu, const rota::dense_store<float>& store) {
  using op = rota::attention<rota::dense<float>>;
  const rota::index_t q_heads = 4, d = store.d_k();
  const tutorial::rows<float> q(1, q_heads, d, 5);
  tutorial::rows<float> out(1, q_heads, d, 0);
  const rota::attend_item<op::store_type> item{q.view(), &store, out.view(), {}};
  // workspace: begin
  const buffer ws(op::attend_workspace_bytes(cpu, {&item, 1}, {}));
  require(op::attend(cpu, item, {}, ws.workspace()), "attend");
  // workspace: end
  return out.data();
}

}  // namespace

int main() {
  const rota::index_t n = 3000, kv_heads = 2, d = 64;
  std::vector<float> keys(static_cast<std::size_t>(kv_heads * n * d)), values(keys.size());
  rota::dense_store<float> store;
  store.keys = rota::view(keys.data(), kv_heads, n, d);
  store.values = rota::view(values.data(), kv_heads, n, d);
  const tutorial::rows<float> k(n, kv_heads, d, 1), v(n, kv_heads, d, 2);
  require(rota::cpu::append(rota::cpu::backend{}, store, k.view(), v.view()), "append");

  // pools: begin
  const rota::cpu::backend one_thread;
  rota::cpu::thread_pool pool(2);
  engine_pool own;
  const std::vector<float> a = decode(one_thread, store);
  const std::vector<float> b = decode(pool.get_backend(), store);
  const std::vector<float> c = decode(own.backend(), store);
  expect(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0, "the same bits");
  expect(std::memcmp(a.data(), c.data(), a.size() * sizeof(float)) == 0, "the same bits");
  // pools: end
  std::printf("1, 2 and 3 threads gave the same bits\n");
  return 0;
}
