#pragma once

#include <rota/cuda/score/rows.cuh>
#include <rota/policy/concepts.hpp>

namespace rota::cuda {

/// A token's score, a thread each.
template <class Scorer, element E>
struct score_tokens_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 2;
  using block = score_block<E, reads_keys<Scorer>(), reads_values<Scorer>()>;

  struct arguments {
    typename Scorer::params params;
    pack_source<E> from;
    int d_k, d_v;
    index_t kv_heads;
    float* out;
    index_t out_head;  ///< stride
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const block own(a.from, a.d_k, a.d_v, a.kv_heads, ptx::shared_base(), a.fault);
    if (own.has_token())
      ptx::store(a.out + own.head * a.out_head + own.token.index,
                 Scorer::score(a.params, own.token));
  }
};

/// The scores of a token's groups, a thread a token.
template <class Scorer, element E>
struct score_groups_kernel {
  static constexpr int threads = score_tokens_a_block;
  static constexpr int least_blocks = 2;
  using block = score_block<E, reads_keys<Scorer>(), true>;

  struct arguments {
    typename Scorer::params params;
    pack_source<E> from;
    int d_k, d_v, width;
    index_t kv_heads;
    float* out;
    index_t out_head, out_token;  ///< strides
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const block own(a.from, a.d_k, a.d_v, a.kv_heads, ptx::shared_base(), a.fault);
    if (!own.has_token()) return;
    group_ref g;
    g.token = own.token;
    g.width = a.width;
    g.groups = a.d_v / a.width;
    float* const to = a.out + own.head * a.out_head + own.token.index * a.out_token;
    for (g.group = 0; g.group < g.groups; ++g.group) {
      g.slice = g.token.value + g.group * a.width;
      ptx::store(to + g.group, Scorer::score(a.params, g));
    }
  }
};

}  // namespace rota::cuda
