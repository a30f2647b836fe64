#pragma once

#include <algorithm>
#include <cmath>

#include <rota/cuda/product/tile.cuh>
#include <rota/cuda/score/rows.cuh>
#include <rota/cuda/select.cuh>
#include <rota/score/critical.hpp>

namespace rota::cuda {

/// The best tokens of each head by the base's scores, as a budget.
struct first_stage_budget {
  using policy_kind = budget_tag;
  struct params {
    index_t count = 0;
  };
  static constexpr budget_scope scope = budget_scope::head;
  static status check(const params&) { return {}; }
  ROTA_HD static index_t count(const params& p, index_t) { return p.count; }
};

/// W_O's rows from `first` on, of the hidden state: a matrix for each query head.
struct projection_slab {
  const float* data;
  index_t row_stride, head_stride, first;

  ROTA_DEVICE float operator()(index_t q, index_t row, index_t k) const {
    return ptx::load(data + (first + row) * row_stride + q * head_stride + k);
  }
};

/// Scratch memory of critical<Base>, beside its base's: the two are not in use at once.
struct critical_memory {
  /// Rows of W_O that are split at a time: the whole would be as large as the floats themselves.
  static constexpr index_t slab = 512;

  split_rows rows;         ///< [q_heads][slab, d_v]
  float* norms = nullptr;  ///< [kv_heads, tokens]
  select_problem problem;
  selection best;
  workspace scratch;  ///< of the selection

  template <class Context>
  static critical_memory carve(carver& from, const backend& b, const Context& c) {
    critical_memory m;
    const index_t n = c.tokens(), heads = c.kv_heads();
    m.rows =
        split_rows::carve(from, c.weights.extent[1], std::min(slab, c.weights.extent[0]), c.d_v());
    m.norms = from.take<float>(heads * n);
    m.problem.tokens = n;
    m.problem.kv_heads = heads;
    m.problem.device_tokens = c.device_tokens;
    m.best.indices = view<std::int32_t, 2>(from.take<std::int32_t>(heads * n), heads, n);
    m.best.masks = view<group_mask, 2>(from.take<group_mask>(heads * n), heads, n);
    m.best.counts = view<std::int32_t, 1>(from.take<std::int32_t>(heads), heads);
    m.scratch.bytes = select_workspace_bytes<first_stage_budget, keep_all>(b, {&m.problem, 1}, 1);
    m.scratch.data = from.take<std::byte>(static_cast<std::int64_t>(m.scratch.bytes));
    return m;
  }
};

/// Adds up |W_O v|_1 of 64 tokens over the query heads of their kv head, for some rows of W_O.
template <element E>
struct projected_sums_kernel {
  using product = product_tile<E>;
  static constexpr int threads = product::threads;
  static constexpr int least_blocks = 2;

  struct arguments {
    pack_source<E> from;
    split_rows rows;
    index_t group;
    bool more;  ///< not the first rows
    float* norms;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t first = index_t{ptx::block_x()} * product::tokens, head = ptx::block_y();
    const index_t left = a.from.tokens.get(a.fault) - first;
    if (left <= 0) return;
    const int count = static_cast<int>(left < product::tokens ? left : product::tokens);
    float sums[2] = {0, 0};
    for (index_t q = head * a.group; q < (head + 1) * a.group; ++q) {
      for (index_t row = 0; row < a.rows.rows; row += split_rows::tile) {
        product_fragments<> outputs;
        product{ptx::shared_base()}.multiply(
            outputs, [&](int j) { return a.from.value(first + j, head); }, count, a.rows, q, row);
        ROTA_UNROLL
        for (int j = 0; j < 8; ++j) {
          ROTA_UNROLL
          for (int i = 0; i < 4; ++i) sums[i / 2] += std::fabs(outputs.c[j][i]);
        }
      }
    }
    write(a, head, first, count, sums);
  }

 private:
  ROTA_DEVICE static void write(const arguments& a, index_t head, index_t first, int count,
                                float (&sums)[2]) {
    ROTA_UNROLL
    for (int half = 0; half < 2; ++half) {
      sums[half] += ptx::shuffle_xor(sums[half], 1);
      sums[half] += ptx::shuffle_xor(sums[half], 2);
      const int token = product_fragments<>::token(half);
      if (ptx::lane_index() % 4 != 0 || token >= count) continue;
      float* const to = a.norms + head * a.from.tokens.capacity + first + token;
      ptx::store(to, a.more ? ptx::load(to) + sums[half] : sums[half]);
    }
  }
};

/// What the two kernels below share.
struct critical_arguments {
  const float* norms;  ///< [kv_heads, capacity]
  kept_rows best;
  float epsilon, group;
  float* out;
  index_t out_head;  ///< stride
  length_ref tokens;
  std::uint32_t* fault;
};

/// Second stage: base scores become scores, a thread a token.
struct weigh_scores_kernel {
  using arguments = critical_arguments;
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t head = ptx::block_y();
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (i >= a.tokens.get(a.fault)) return;
    float* const score = a.out + head * a.out_head + i;
    const float norm = ptx::load(a.norms + head * a.tokens.capacity + i);
    ptx::store(score, (ptx::load(score) + a.epsilon) * norm / a.group);
  }
};

/// First stage: its tokens get the largest finite score, a thread each.
struct raise_best_kernel {
  using arguments = critical_arguments;
  static constexpr int threads = 256;
  static constexpr int least_blocks = 2;

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t head = ptx::block_y();
    const index_t i = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (i >= a.best.count(head)) return;
    ptx::store(a.out + head * a.out_head + a.best.index(head, i), bit_cast<float>(0x7f7fffffu));
  }
};

/// m.norms: |W_O v|_1 of every token, summed over its query heads.
template <element E, class... Parts>
status sum_projections(const backend& b, const context<E, Parts...>& c, const critical_memory& m) {
  const view<const float, 3>& w = c.weights;
  using kernel = projected_sums_kernel<E>;
  using product = typename kernel::product;
  index_t first = 0;
  do {  // once even if W_O has no rows
    split_rows rows = m.rows;
    rows.rows = std::min(m.slab, w.extent[0] - first);
    const projection_slab slab{w.data, w.stride[0], w.stride[1], first};
    if (status s = launch_split(b, w.extent[1], slab, rows); !s) return s;
    if (status s = launch<kernel>(
            b, {blocks_of(c.tokens(), product::tokens), c.kv_heads()},
            {pack_source<E>(c), rows, w.extent[1] / c.kv_heads(), first > 0, m.norms, b.fault},
            product::shared_bytes);
        !s)
      return s;
    first += m.slab;
  } while (first < w.extent[0]);
  return {};
}

/// CriticalKV: what score_tokens() calls. Errors besides its base's: bad_parameter "keep",
/// "first_share" or "epsilon", and "weights" with bad_shape, null_view, bad_stride, bad_alignment,
/// wrong_memory and heads_not_divisible.
template <class Base, element E, class... Parts>
std::size_t score_whole_tokens_workspace_bytes(const backend& b, critical<Base>,
                                               const typename critical<Base>::params& p,
                                               const context<E, Parts...>& c) {
  carver count;
  critical_memory::carve(count, b, c);
  return std::max(count.bytes(), score_tokens_workspace_bytes(b, Base{}, p.base, c));
}

template <class Base, element E, class... Parts>
status score_whole_tokens(const backend& b, critical<Base>,
                          const typename critical<Base>::params& p, const context<E, Parts...>& c,
                          const view<float, 2>& out, workspace ws) {
  if (status s = check_critical<Base>(p, c); !s) return s;
  if (status s = check_rows(b, c.weights, alignof(float), "weights"); !s) return s;
  carver from(ws);
  const auto m = critical_memory::carve(from, b, c);
  if (status s = from.check(); !s) return s;
  if (status s = detail::check_problems({&m.problem, 1}, 1); !s) return s;
  // Its scratch memory lies where ours does: what it launches is done before ours begins.
  if (status s = score_tokens(b, Base{}, p.base, c, out, ws); !s) return s;

  const index_t best = std::min(c.tokens(), critical<Base>::first_stage(p));
  if (best > 0)
    if (status s = select<first_stage_budget, keep_all>(b, m.problem, {best}, {}, {out, {}}, m.best,
                                                        m.scratch);
        !s)
      return s;
  if (status s = sum_projections(b, c, m); !s) return s;
  const critical_arguments a{m.norms,
                             kept_rows(m.best),
                             p.epsilon,
                             static_cast<float>(c.weights.extent[1] / c.kv_heads()),
                             out.data,
                             out.stride[0],
                             {c.tokens(), c.device_tokens},
                             b.fault};
  using weigh = weigh_scores_kernel;
  using raise = raise_best_kernel;
  if (status s = launch<weigh>(b, {blocks_of(c.tokens(), weigh::threads), c.kv_heads()}, a); !s)
    return s;
  return launch<raise>(b, {blocks_of(best, raise::threads), c.kv_heads()}, a);
}

}  // namespace rota::cuda
