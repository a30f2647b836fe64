#pragma once

#include <functional>

#include <cublas_v2.h>

#include "layer.cuh"
#include "prefill_kernels.cuh"

// One layer of a model of about 7B parameters, whose prefill a benchmark runs: matrix products by
// cuBLAS in bf16, attention by our own attend over the dense rows, chunk after chunk of the context
// as serving engines do it. Weights are random; nothing but the shapes is a model's.

namespace bench {

inline void expect(cublasStatus_t s, const char* what) {
  if (s == CUBLAS_STATUS_SUCCESS) return;
  std::fprintf(stderr, "%s: %s\n", what, cublasGetStatusString(s));
  std::exit(1);
}

/// Device memory that is handed out and taken back as a stack, and counts: what an engine would
/// need at the same time, without the slack of an allocator.
class arena {
 public:
  explicit arena(std::size_t bytes) : memory_(bytes) {}
  template <class T>
  T* take(index_t n) {
    std::byte* const at = memory_.data() + used_;
    used_ += (static_cast<std::size_t>(n) * sizeof(T) + 255) / 256 * 256;
    if (used_ > memory_.size()) {
      std::fprintf(stderr, "the benchmark's memory is too small\n");
      std::exit(1);
    }
    peak_ = std::max(peak_, used_);
    return reinterpret_cast<T*>(at);
  }
  std::size_t used() const { return used_; }
  std::size_t peak() const { return peak_; }
  void rewind(std::size_t used) { used_ = used; }
  void forget_peak() { peak_ = used_; }

 private:
  memory<std::byte> memory_;
  std::size_t used_ = 0, peak_ = 0;
};

/// cuBLAS for one stream at a time, with memory of ours: it must not allocate inside a graph.
class matrix_products {
 public:
  explicit matrix_products(arena& a) : scratch_(a.take<std::byte>(scratch_bytes)) {
    expect(cublasCreate(&handle_), "cublasCreate");
  }
  ~matrix_products() { cublasDestroy(handle_); }
  matrix_products(const matrix_products&) = delete;
  matrix_products& operator=(const matrix_products&) = delete;

  /// Choosing a stream takes the scratch memory away, so both are set.
  void use(cudaStream_t stream) {
    expect(cublasSetStream(handle_, stream), "cublasSetStream");
    expect(cublasSetWorkspace(handle_, scratch_, scratch_bytes), "cublasSetWorkspace");
  }
  /// y [n, rows] = x [n, columns] w^T + keep y, of weights [rows, columns]; x has rows of `pitch`.
  void operator()(const bf16* x, index_t pitch, const bf16* w, index_t n, index_t rows,
                  index_t columns, float keep, bf16* y) {
    const float one = 1;
    const auto i = [](index_t value) { return static_cast<int>(value); };
    expect(cublasGemmEx(handle_, CUBLAS_OP_T, CUBLAS_OP_N, i(rows), i(n), i(columns), &one, w,
                        CUDA_R_16BF, i(columns), x, CUDA_R_16BF, i(pitch), &keep, y, CUDA_R_16BF,
                        i(rows), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
           "cublasGemmEx");
  }

 private:
  static constexpr index_t scratch_bytes = index_t{32} << 20;
  cublasHandle_t handle_{};
  std::byte* scratch_;
};

struct layer_weights {
  bf16 *qkv, *out, *gate_up, *down;  ///< each [rows, columns]

  explicit layer_weights(arena& a)
      : qkv(a.take<bf16>(layer_size::qkv * layer_size::hidden)),
        out(a.take<bf16>(layer_size::hidden * layer_size::hidden)),
        gate_up(a.take<bf16>(2 * layer_size::mlp * layer_size::hidden)),
        down(a.take<bf16>(layer_size::hidden * layer_size::mlp)) {
    unsigned seed = 500;
    const auto random = [&](bf16* to, index_t rows, index_t columns) {
      fill(to, static_cast<std::size_t>(rows * columns), seed++,
           1 / std::sqrt(static_cast<float>(columns)));
    };
    random(qkv, layer_size::qkv, layer_size::hidden);
    random(out, layer_size::hidden, layer_size::hidden);
    random(gate_up, 2 * layer_size::mlp, layer_size::hidden);
    random(down, layer_size::hidden, layer_size::mlp);
  }
};

/// The layer, its input and its keys and values, all in the arena.
class prefill_layer {
 public:
  static constexpr index_t chunk = 2048;  ///< tokens that go through the layer at a time

  prefill_layer(arena& a, index_t tokens)
      : memory_(a),
        products_(a),
        weights_(a),
        tokens_(tokens),
        x_(a.take<bf16>(tokens * layer_size::hidden)),
        keys_(a.take<bf16>(tokens * layer_size::kv_heads * d)),
        values_(a.take<bf16>(tokens * layer_size::kv_heads * d)) {
    fill(x_, static_cast<std::size_t>(tokens * layer_size::hidden), 400);
  }

  /// Launches the whole prefill on the backend's stream. `watch`: told of the queries and the
  /// attention of every chunk, with the stream not yet waited for.
  using watcher = std::function<void(const float* q, const float* attended, index_t tokens)>;
  void run(const rota::cuda::backend& b, const watcher& watch = {}) {
    products_.use(b.stream);
    for (index_t first = 0; first < tokens_; first += chunk)
      run_chunk(b, first, std::min(chunk, tokens_ - first), watch);
  }

  rota::context<bf16> context() const {
    return rows_of_batch::context_of(keys_, values_, shape_of(tokens_));
  }
  rota::dense_store<bf16> store(index_t length) const {
    rota::dense_store<bf16> s;
    s.keys = rota::view<bf16, 3>(keys_, layer_size::kv_heads, tokens_, d);
    s.values = rota::view<bf16, 3>(values_, layer_size::kv_heads, tokens_, d);
    s.length = length;
    return s;
  }
  static shape shape_of(index_t tokens) {
    return {1, tokens, layer_size::q_heads, layer_size::kv_heads, tokens};
  }
  const layer_weights& weights() const { return weights_; }
  const bf16* x() const { return x_; }
  /// What the layer made of the last chunk, until something else takes the memory.
  const bf16* last_output() const { return y_; }

 private:
  void run_chunk(const rota::cuda::backend& b, index_t first, index_t n, const watcher& watch) {
    constexpr index_t hidden = layer_size::hidden, mlp = layer_size::mlp;
    const std::size_t mark = memory_.used();
    y_ = memory_.take<bf16>(n * hidden);
    bf16* const normed = memory_.take<bf16>(n * hidden);
    run_norm(b.stream, x_ + first * hidden, n, normed, y_);
    attend(b, first, n, normed, watch);
    products_(normed, hidden, weights_.out, n, hidden, hidden, 1, y_);
    run_norm(b.stream, y_, n, normed, nullptr);
    bf16* const gate_up = memory_.take<bf16>(n * 2 * mlp);
    products_(normed, hidden, weights_.gate_up, n, 2 * mlp, hidden, 0, gate_up);
    run_swiglu(b.stream, gate_up, n);
    products_(gate_up, 2 * mlp, weights_.down, n, hidden, mlp, 1, y_);
    memory_.rewind(mark);
  }

  /// From normed rows to attended ones, in place. The chunk's keys and values stay.
  void attend(const rota::cuda::backend& b, index_t first, index_t n, bf16* rows,
              const watcher& watch) {
    constexpr index_t hidden = layer_size::hidden;
    const std::size_t mark = memory_.used();
    bf16* const qkv = memory_.take<bf16>(n * layer_size::qkv);
    float* const q = memory_.take<float>(n * hidden);
    float* const attended = memory_.take<float>(n * hidden);
    products_(rows, hidden, weights_.qkv, n, layer_size::qkv, hidden, 0, qkv);
    run_place(b.stream, qkv, first, n, tokens_, q, keys_, values_);
    const rota::dense_store<bf16> so_far = store(first + n);
    rota::attend_item<rota::dense_store<bf16>> item;
    item.q = rota::view<const float, 3>(q, n, layer_size::q_heads, d);
    item.out = rota::view<float, 3>(attended, n, layer_size::q_heads, d);
    item.store = &so_far;
    const std::span<const rota::attend_item<rota::dense_store<bf16>>> batch(&item, 1);
    const std::size_t bytes = rota::cuda::attend_workspace_bytes(b, batch, {});
    std::byte* const ws = memory_.take<std::byte>(static_cast<index_t>(bytes));
    expect(rota::cuda::attend(b, batch, {}, {ws, bytes}), "attend");
    if (watch) watch(q, attended, n);
    run_narrow(b.stream, attended, n, rows);
    memory_.rewind(mark);
  }

  arena& memory_;
  matrix_products products_;
  layer_weights weights_;
  index_t tokens_;
  bf16 *x_, *keys_, *values_, *y_ = nullptr;
};

}  // namespace bench
