// docs/cuda.md: compress a prefilled context on the GPU, then decode from it, all on a stream of
// the caller's. Without a GPU it says so and ends.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include <rota/attend/attention.hpp>
#include <rota/budget/keep_ratio.hpp>
#include <rota/cuda/cuda.cuh>
#include <rota/fill/mean.hpp>
#include <rota/score/key_norm.hpp>
#include <rota/score/value_norm.hpp>

namespace {

using rota::bf16;
using rota::index_t;

// operator: begin
using op = rota::attention<rota::tokens<rota::key_norm, rota::keep_ratio>,
                           rota::groups<rota::value_norm, rota::keep_ratio>,
                           rota::cuda::packed<bf16, 16>, rota::mean_fill>;
// operator: end

void require(cudaError_t e, const char* what) {
  if (e == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(e));
  std::exit(1);
}
void require(const rota::status& s, const char* what) {
  if (s.ok()) return;
  std::fprintf(stderr, "%s: %s (%s)\n", what, s.what(), s.argument);
  std::exit(1);
}

/// Device memory that frees itself. An engine takes it from its own pool.
template <class T>
class buffer {
 public:
  explicit buffer(std::size_t n) : size_(n) {
    require(cudaMalloc(&data_, n * sizeof(T)), "memory");
  }
  ~buffer() { cudaFree(data_); }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

/// Rows [n, heads, d] of random numbers in place of a model's.
template <class T>
struct rows {
  index_t n, heads, d;
  std::vector<T> host;
  buffer<T> device;

  rows(index_t n_, index_t heads_, index_t d_)
      : n(n_),
        heads(heads_),
        d(d_),
        host(static_cast<std::size_t>(n * heads * d)),
        device(host.size()) {}
  /// Uploads on the stream; pageable memory has been read when this returns.
  void draw(cudaStream_t stream, unsigned seed) {
    std::mt19937 rng(seed);
    std::normal_distribution<float> normal;
    for (T& x : host) x = T(normal(rng));
    require(cudaMemcpyAsync(device.data(), host.data(), host.size() * sizeof(T),
                            cudaMemcpyHostToDevice, stream),
            "upload");
  }
  rota::view<const T, 3> view() const { return rota::view<const T, 3>(device.data(), n, heads, d); }
};

bool is_gpu_there() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

/// Reads one value of device memory when everything before it on the stream is done.
template <class T>
T read(const T* from, cudaStream_t stream) {
  T value;
  require(cudaMemcpyAsync(&value, from, sizeof value, cudaMemcpyDeviceToHost, stream), "read");
  require(cudaStreamSynchronize(stream), "kernels");
  return value;
}

void run(cudaStream_t stream) {
  const index_t n = 4096, kv_heads = 8, q_heads = 32, d = 128, steps = 32;

  // backend: begin
  const buffer<std::uint32_t> fault(1);  // where kernels report; zero at first
  require(cudaMemsetAsync(fault.data(), 0, sizeof(std::uint32_t), stream), "fault word");
  const rota::cuda::backend gpu = rota::cuda::make_backend(stream, fault.data());
  // backend: end

  rows<bf16> k(n, kv_heads, d), v(n, kv_heads, d);
  k.draw(stream, 1);
  v.draw(stream, 2);

  // compress: begin
  rota::context<bf16> ctx;
  ctx.keys = k.view();    // [tokens, kv_heads, d_k] in device memory, after RoPE
  ctx.values = v.view();  // [tokens, kv_heads, d_v]
  op::params p;
  p.protect.sinks = 4;
  p.protect.window = 32;
  p.tokens.budget.ratio = 0.5;
  p.groups.budget.ratio = 0.5;
  p.store.tail_capacity = steps;

  const buffer<std::byte> memory(static_cast<std::size_t>(op::max_store_bytes(ctx, p)));
  const buffer<std::byte> scratch(op::compress_workspace_bytes(gpu, ctx, p));
  op::store_type store;
  store.data = memory.data();
  store.capacity_bytes = static_cast<index_t>(memory.size());
  require(op::compress(gpu, ctx, p, store, {scratch.data(), scratch.size()}), "compress");
  // compress: end

  rows<bf16> new_k(1, kv_heads, d), new_v(1, kv_heads, d);
  rows<float> q(1, q_heads, d), out(1, q_heads, d);

  // decode: begin
  rota::attend_item<op::store_type> item;
  item.q = q.view();
  item.out = rota::view<float, 3>(out.device.data(), 1, q_heads, d);
  item.store = &store;
  const buffer<std::byte> ws(op::attend_workspace_bytes(gpu, {&item, 1}, {}));
  for (unsigned step = 0; step < steps; ++step) {
    new_k.draw(stream, 10 + step);
    new_v.draw(stream, 50 + step);
    q.draw(stream, 90 + step);
    require(op::append(gpu, store, new_k.view(), new_v.view()), "append");
    require(op::attend(gpu, item, {}, {ws.data(), ws.size()}), "attend");
  }
  // decode: end

  // fault: begin
  // Nothing has waited so far. What only the device could see is in the fault word.
  require(rota::cuda::status_of_fault(read(fault.data(), stream)), "on the device");
  // fault: end
  const auto header = read(reinterpret_cast<const rota::packed_header*>(store.data), stream);
  std::printf("%lld of %lld bytes sealed for %lld tokens, %d in the tail, out[0] = %g\n",
              static_cast<long long>(header.tail_keys_at),
              static_cast<long long>(4 * n * kv_heads * d), static_cast<long long>(n),
              header.tail_count, static_cast<double>(read(out.device.data(), stream)));
}

}  // namespace

int main() {
  if (!is_gpu_there()) {
    std::puts("There is no GPU here, so nothing was run.");
    return 0;
  }
  cudaStream_t stream;
  require(cudaStreamCreate(&stream), "stream");
  run(stream);
  require(cudaStreamDestroy(stream), "stream");
  return 0;
}
