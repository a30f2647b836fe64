#pragma once

#include <rota/core/score_key.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cuda/block_scan.cuh>
#include <rota/cuda/fault.cuh>
#include <rota/cuda/launch.cuh>
#include <rota/cuda/ptx/warp.cuh>
#include <rota/lora/adapter.hpp>

// Which tokens use which subspaces of an adapter. A token's choices are its slots, ascending; for
// each slot the tokens are listed by subspace, so that one product serves all that chose alike, and
// no two entries of a slot's list are about the same token.

namespace rota::cuda {

/// Tokens that a block counts or lists, and those of each of its threads.
inline constexpr int route_chunk_tokens = 1024;
inline constexpr int route_threads = 256;
inline constexpr int route_thread_tokens = route_chunk_tokens / route_threads;

/// The lists of all slots. A plain adapter has one slot and one subspace, and no list is needed.
struct routed_lists {
  index_t tokens = 0;
  int subspaces = 1, slots = 1;
  std::int32_t* chosen = nullptr;   ///< [tokens, slots]; null: all tokens use subspace 0
  float* logits = nullptr;          ///< [tokens, slots]: of the chosen
  float* gates = nullptr;           ///< [tokens, slots]
  std::int32_t* counts = nullptr;   ///< [slots, subspaces]: tokens of each
  index_t chunks = 0;               ///< of tokens
  std::uint32_t* places = nullptr;  ///< [slots, subspaces, chunks]: where a chunk's tokens begin
  std::int32_t* list = nullptr;     ///< [slots, tokens], by subspace, then by token

  template <lora_form Form>
  static routed_lists carve(carver& from, index_t tokens) {
    routed_lists l;
    l.tokens = tokens;
    l.subspaces = Form::subspaces;
    l.slots = Form::active;
    if constexpr (Form::routed) {
      l.chosen = from.take<std::int32_t>(tokens * l.slots);
      l.logits = from.take<float>(tokens * l.slots);
      l.gates = from.take<float>(tokens * l.slots);
      l.counts = from.take<std::int32_t>(l.slots * l.subspaces);
      l.chunks = blocks_of(tokens, route_chunk_tokens);
      l.places = from.take<std::uint32_t>(l.slots * l.subspaces * l.chunks);
      l.list = from.take<std::int32_t>(l.slots * tokens);
    }
    return l;
  }

  ROTA_DEVICE index_t count(int slot, int subspace) const {
    return counts == nullptr ? tokens : ptx::load(counts + slot * subspaces + subspace);
  }
  ROTA_DEVICE index_t token(int slot, index_t entry) const {
    return list == nullptr ? entry : ptx::load(list + slot * tokens + entry);
  }
  ROTA_DEVICE float gate(index_t token, int slot) const {
    return gates == nullptr ? 1.0f : ptx::load(gates + token * slots + slot);
  }
};

/// Up to 64 entries of a slot's list that are about one subspace.
struct entry_tile {
  static constexpr int size = 64;
  int subspace = 0;
  index_t first = 0;  ///< entry
  int count = 0;      ///< 0: there is no such tile

  /// The most tiles that a slot can have: each subspace may begin one.
  static index_t most(const routed_lists& l) {
    return blocks_of(l.tokens, size) + (l.subspaces - 1);
  }
  ROTA_DEVICE static entry_tile find(const routed_lists& l, int slot, index_t number) {
    entry_tile t;
    for (; t.subspace < l.subspaces; ++t.subspace) {
      const index_t entries = l.count(slot, t.subspace), tiles = (entries + size - 1) / size;
      if (number < tiles) {
        const index_t left = entries - number * size;
        t.first += number * size;
        t.count = static_cast<int>(left < size ? left : size);
        return t;
      }
      number -= tiles;
      t.first += entries;
    }
    return t;
  }
};

/// The best subspaces of each token and their gates, a thread a token. Ties go to the smaller
/// index, NaN counts below all numbers.
template <lora_form Form>
struct choose_subspaces_kernel {
  static constexpr int threads = 128;
  static constexpr int least_blocks = 4;

  struct arguments {
    const float* products;  ///< [tokens, N]: router times x
    const float* bias;      ///< [N], or null
    routed_lists to;
    float* out;  ///< logits [tokens, N], or null
    index_t out_stride;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t token = index_t{ptx::block_x()} * threads + ptx::thread_index();
    if (token >= a.to.tokens) return;
    const auto logit = [&](int i) {
      const float z = ptx::load(a.products + token * Form::subspaces + i);
      return a.bias == nullptr ? z : z + ptx::load(a.bias + i);
    };
    index_t to = token * Form::active;
    for (int i = 0; i < Form::subspaces; ++i) {
      const float z = logit(i);
      const std::uint32_t key = score_key(z);
      int before = 0;
      for (int j = 0; j < Form::subspaces; ++j) {
        const std::uint32_t other = score_key(logit(j));
        before += other > key || (other == key && j < i) ? 1 : 0;
      }
      if (a.out != nullptr) ptx::store(a.out + token * a.out_stride + i, z);
      if (before >= Form::active) continue;
      ptx::store(a.to.chosen + to, i);
      ptx::store(a.to.logits + to, z);
      ++to;
    }
    const index_t own = token * Form::active;
    Form::gate::gates(static_cast<const float*>(a.to.logits + own), Form::active, a.to.gates + own);
  }
};

/// Counts the tokens of each subspace in each chunk, or lists them: a block a chunk, subspace and
/// slot. A thread has a run of tokens, so that lists are in the order of the tokens.
template <bool List>
struct list_tokens_kernel {
  static constexpr int threads = route_threads;
  static constexpr int least_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    routed_lists lists;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const routed_lists& l = a.lists;
    const int subspace = static_cast<int>(ptx::block_y()), slot = static_cast<int>(ptx::block_z());
    const index_t first = index_t{ptx::block_x()} * route_chunk_tokens +
                          index_t{ptx::thread_index()} * route_thread_tokens;
    unsigned mine = 0;
    ROTA_UNROLL
    for (int k = 0; k < route_thread_tokens; ++k)
      if (first + k < l.tokens && ptx::load(l.chosen + (first + k) * l.slots + slot) == subspace)
        mine |= 1u << k;
    const auto own = static_cast<std::uint32_t>(ptx::count_bits(mine));
    const block_sum sum = block_exclusive_sum<threads>(own, ptx::shared_base());
    std::uint32_t* const place =
        l.places + (index_t{slot} * l.subspaces + subspace) * l.chunks + ptx::block_x();
    if constexpr (List) {
      std::int32_t* to = l.list + slot * l.tokens + ptx::load(place) + sum.before;
      ROTA_UNROLL
      for (int k = 0; k < route_thread_tokens; ++k)
        if ((mine >> k & 1u) != 0) ptx::store(to++, static_cast<std::int32_t>(first + k));
    } else if (ptx::thread_index() == 0) {
      ptx::store(place, sum.total);
    }
  }
};

/// Where each chunk's tokens begin in a slot's list, from how many there are, and how many each
/// subspace has: a block a slot.
struct place_tokens_kernel {
  static constexpr int threads = 256;
  static constexpr int least_blocks = 1;
  static constexpr std::uint32_t shared_bytes = 64;

  struct arguments {
    routed_lists lists;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const routed_lists& l = a.lists;
    const index_t slot = ptx::block_x(), n = l.subspaces * l.chunks;
    std::uint32_t* const places = l.places + slot * n;
    std::uint32_t total = 0;
    for (index_t first = 0; first < n; first += threads) {
      const index_t i = first + ptx::thread_index();
      const std::uint32_t own = i < n ? ptx::load(places + i) : 0;
      const block_sum sum = block_exclusive_sum<threads>(own, ptx::shared_base());
      if (i < n) ptx::store(places + i, total + sum.before);
      total += sum.total;
    }
    ptx::sync_block();
    for (index_t s = ptx::thread_index(); s < l.subspaces; s += threads) {
      const std::uint32_t begin = ptx::load(places + s * l.chunks);
      const std::uint32_t end =
          s + 1 < l.subspaces ? ptx::load(places + (s + 1) * l.chunks) : total;
      ptx::store(l.counts + slot * l.subspaces + s, static_cast<std::int32_t>(end - begin));
    }
  }
};

/// Makes the lists from what the router's rows times x are.
template <lora_form Form, element E>
status launch_route(const backend& b, const lora_item<E>& item, const float* products,
                    const routed_lists& lists) {
  using choose = choose_subspaces_kernel<Form>;
  const float* const bias =
      item.weights.router_bias.empty() ? nullptr : item.weights.router_bias.data;
  float* const out = item.logits.empty() ? nullptr : item.logits.data;
  if (status s = launch<choose>(b, {blocks_of(lists.tokens, choose::threads)},
                                {products, bias, lists, out, item.logits.stride[0], b.fault});
      !s)
    return s;
  const grid_shape grid{lists.chunks, lists.subspaces, lists.slots};
  using count = list_tokens_kernel<false>;
  if (status s = launch<count>(b, grid, {lists, b.fault}, count::shared_bytes); !s) return s;
  using place = place_tokens_kernel;
  if (status s = launch<place>(b, {lists.slots}, {lists, b.fault}, place::shared_bytes); !s)
    return s;
  using list = list_tokens_kernel<true>;
  return launch<list>(b, grid, {lists, b.fault}, list::shared_bytes);
}

}  // namespace rota::cuda
