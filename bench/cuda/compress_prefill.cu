// compress_prefill: what compression adds to a prefill on a GPU. `compress_prefill --help` lists
// the options.
//
// A layer of hidden size 4096, 32 query heads, 8 kv heads of 128 and an MLP of 14336 is prefilled
// with 8,192 and 32,768 tokens in chunks of 2,048 (prefill_layer.cuh): products by cuBLAS in bf16,
// attention by our own attend over dense rows, which is made for few queries, not for a prefill:
// with a faster one the same compression would be a larger part of the whole. Then the same with
// score, select and pack behind it. Every case replays a captured graph; the weights and a chunk's
// activations are half a gigabyte, so a replay finds little of the one before in the L2 cache.
//
// peak_bytes is what the benchmark had handed out at the same time, counted by its own arena, with
// the store at its exact size: weights, input, keys, values, activations of a chunk, workspaces.
// The dense keys and values are still there when the store is made. What the driver and cuBLAS hold
// for themselves is not counted.
//
// Before anything is timed, one token of a short context is computed on the host in double, its
// attention by the reference.

#include <cmath>

#include <rota/attend/reference.hpp>

#include "prefill_layer.cuh"

namespace {

using bench::bf16;
using bench::d;
using bench::expect;
using bench::index_t;
using bench::kept;
using bench::layer_size;
using bench::op;

/// Enough for 32,768 tokens; only what is handed out is counted.
constexpr std::size_t arena_bytes = std::size_t{4} << 30;

template <class T>
std::vector<T> download(const T* from, index_t n) {
  std::vector<T> to(static_cast<std::size_t>(n));
  expect(cudaMemcpy(to.data(), from, to.size() * sizeof(T), cudaMemcpyDeviceToHost), "download");
  return to;
}

using row = std::vector<double>;

void require_near(const row& got, const row& want, double tolerance, const char* what) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference = std::fmax(difference, std::fabs(got[i] - want[i]));
    if (got[i] != got[i]) difference = INFINITY;
    size = std::fmax(size, std::fabs(want[i]));
  }
  if (difference < tolerance * size) return;
  std::fprintf(stderr, "wrong: %s (%g of %g)\n", what, difference, size);
  std::exit(1);
}

/// w [rows, columns] times x.
row product(const bf16* device_weights, index_t rows, const row& x) {
  const auto columns = static_cast<index_t>(x.size());
  const std::vector<bf16> w = download(device_weights, rows * columns);
  row y(static_cast<std::size_t>(rows));
  for (std::size_t r = 0; r < y.size(); ++r)
    for (std::size_t c = 0; c < x.size(); ++c)
      y[r] += static_cast<double>(static_cast<float>(w[r * x.size() + c])) * x[c];
  return y;
}

row normed(row x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  for (double& v : x) v /= std::sqrt(sum / layer_size::hidden + 1e-5);
  return x;
}

row added(row a, const row& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

template <class T>
row wide(const std::vector<T>& from) {
  row to;
  for (const T v : from) to.push_back(static_cast<double>(static_cast<float>(v)));
  return to;
}

/// What the layer makes of a token whose attention is known.
row host_output(const bench::layer_weights& w, const row& x, const row& attended) {
  const row y = added(x, product(w.out, layer_size::hidden, attended));
  row gate_up = product(w.gate_up, 2 * layer_size::mlp, normed(y));
  for (std::size_t c = 0; c < layer_size::mlp; ++c)
    gate_up[c] = gate_up[c] / (1 + std::exp(-gate_up[c])) * gate_up[layer_size::mlp + c];
  gate_up.resize(layer_size::mlp);
  return added(y, product(w.down, layer_size::hidden, gate_up));
}

/// Rotates a head by its position.
void rotate(double* head, index_t position) {
  for (index_t c = 0; c < d / 2; ++c) {
    const double angle = static_cast<double>(position) *
                         std::pow(10000.0, -static_cast<double>(c) / static_cast<double>(d / 2));
    const double a = head[c], b = head[c + d / 2];
    head[c] = a * std::cos(angle) - b * std::sin(angle);
    head[c + d / 2] = b * std::cos(angle) + a * std::sin(angle);
  }
}

/// The last token's key and value of head 1, as they lie in the cache, against the host.
void check_cache(const bench::prefill_layer& layer, const row& x, index_t tokens) {
  row qkv = product(layer.weights().qkv, layer_size::qkv, normed(x));
  rotate(qkv.data() + (layer_size::q_heads + 1) * d, tokens - 1);
  const rota::context<bf16> c = layer.context();
  const auto part = [&](index_t head) {
    return row(qkv.begin() + head * d, qkv.begin() + (head + 1) * d);
  };
  require_near(wide(download(c.keys.row(tokens - 1, 1), d)), part(layer_size::q_heads + 1), 3e-2,
               "keys");
  require_near(wide(download(c.values.row(tokens - 1, 1), d)),
               part(layer_size::q_heads + layer_size::kv_heads + 1), 3e-2, "values");
}

/// The last token's attention against the reference over the same cache.
void check_attention(const bench::prefill_layer& layer, std::vector<float> q, const row& got,
                     index_t tokens) {
  for (float& v : q) v = static_cast<float>(bf16(v));
  rota::dense_store<bf16> store = layer.store(tokens);
  const index_t size = tokens * layer_size::kv_heads * d;
  std::vector<bf16> keys = download(store.keys.data, size),
                    values = download(store.values.data, size);
  store.keys.data = keys.data();
  store.values.data = values.data();
  rota::attend_item<rota::dense_store<bf16>> item;
  item.q = rota::view<const float, 3>(q.data(), 1, layer_size::q_heads, d);
  item.store = &store;
  row want(q.size());
  rota::reference::attend(item, {}, rota::view<double, 3>(want.data(), 1, layer_size::q_heads, d));
  require_near(got, want, 1e-2, "attention");
}

void check(const bench::machine& m) {
  constexpr index_t tokens = 300, hidden = layer_size::hidden;
  bench::arena memory(arena_bytes);
  bench::prefill_layer layer(memory, tokens);
  std::vector<float> q, attended;
  layer.run(m.backend, [&](const float* queries, const float* out, index_t n) {
    q = download(queries + (n - 1) * hidden, hidden);
    attended = download(out + (n - 1) * hidden, hidden);
  });
  expect(cudaDeviceSynchronize(), "prefill");
  const row x = wide(download(layer.x() + (tokens - 1) * hidden, hidden));
  check_cache(layer, x, tokens);
  check_attention(layer, q, wide(attended), tokens);
  require_near(wide(download(layer.last_output() + (tokens - 1) * hidden, hidden)),
               host_output(layer.weights(), x, wide(attended)), 3e-2, "output");
  m.expect_no_fault();
}

/// Compression of the layer's rows into a store that stays.
class compression {
 public:
  compression(bench::arena& a, const bench::prefill_layer& layer, const kept& k, index_t capacity)
      : memory_(a), layer_(layer), params_(bench::params_of(k)) {
    store_.data = a.take<std::byte>(capacity);
    store_.capacity_bytes = capacity;
  }
  /// The workspace is handed out for as long as it is used.
  void run(const rota::cuda::backend& b) {
    const auto ctx = layer_.context();
    const std::size_t mark = memory_.used();
    const std::size_t bytes = op::compress_workspace_bytes(b, ctx, params_);
    std::byte* const ws = memory_.take<std::byte>(static_cast<index_t>(bytes));
    expect(op::compress(b, ctx, params_, store_, {ws, bytes}), "compress");
    memory_.rewind(mark);
  }
  index_t bytes() const { return static_cast<index_t>(bench::header_of(store_).bytes); }

 private:
  bench::arena& memory_;
  const bench::prefill_layer& layer_;
  op::params params_;
  op::store_type store_;
};

/// Bytes of the store that this layer is compressed to.
index_t store_bytes(const bench::machine& m, bench::arena& memory,
                    const bench::prefill_layer& layer, const kept& k) {
  const std::size_t mark = memory.used();
  compression once(memory, layer, k, op::max_store_bytes(layer.context(), bench::params_of(k)));
  once.run(m.backend);
  const index_t bytes = once.bytes();
  m.expect_no_fault();
  memory.rewind(mark);
  return bytes;
}

/// Times the prefill, and what is asked for behind it.
template <class Behind>
double time_prefill(const bench::machine& m, bench::arena& memory, bench::prefill_layer& layer,
                    int replays, Behind&& behind) {
  rota::cuda::backend b = m.backend;
  memory.forget_peak();
  return bench::median_microseconds(
      [&](cudaStream_t stream) {
        b.stream = stream;
        layer.run(b);
        behind(b);
      },
      replays);
}

void measure(bench::report& report, const bench::machine& m, index_t tokens, int replays) {
  bench::arena memory(arena_bytes);
  bench::prefill_layer layer(memory, tokens);
  const bench::shape s = bench::prefill_layer::shape_of(tokens);
  layer.run(m.backend);  // fills the cache
  const double alone = time_prefill(m, memory, layer, replays, [](const auto&) {});
  const double peak = static_cast<double>(memory.peak());
  report.add({"prefill", s, "dense", 1, alone, 0, peak});
  for (const kept& k : bench::packed_kinds) {
    const std::size_t mark = memory.used();
    const index_t bytes = store_bytes(m, memory, layer, k);
    compression behind(memory, layer, k, bytes);
    const double us =
        time_prefill(m, memory, layer, replays, [&](const auto& b) { behind.run(b); });
    const double ratio = static_cast<double>(bytes) / bench::dense_bytes(s);
    const double all = static_cast<double>(memory.peak());
    report.add({"prefill and compress", s, k.name, ratio, us, 0, all});
    std::printf("  over the prefill alone: time %.4f, peak memory %.4f\n", us / alone, all / peak);
    memory.rewind(mark);
  }
  m.expect_no_fault();
}

}  // namespace

int main(int argc, char** argv) {
  const bench::options given =
      bench::options_of(argc, argv, "What compression adds to a prefill on a GPU");
  std::vector<index_t> contexts{8192};
  if (!given.quick) contexts.push_back(32768);
  if (given.list) {
    for (const index_t tokens : contexts) {
      const bench::shape s = bench::prefill_layer::shape_of(tokens);
      std::puts(bench::line_of("prefill", s, "dense").c_str());
      for (const kept& k : bench::packed_kinds)
        std::puts(bench::line_of("prefill and compress", s, k.name).c_str());
    }
    return 0;
  }
  const bench::machine m;
  check(m);
  bench::report report(given, m);
  for (const index_t tokens : contexts) measure(report, m, tokens, given.quick ? 5 : 20);
  return 0;
}
