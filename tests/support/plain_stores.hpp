#pragma once

#include <vector>

#include <rota/store/dense.hpp>
#include <rota/store/paged.hpp>

#include "support/random.hpp"

namespace rota_test {

using rota::index_t;

struct plain_shape {
  index_t kv_heads = 1;
  index_t d_k = 16;
  index_t d_v = 16;
  index_t length = 0;
  index_t spare = 0;         ///< capacity behind the length
  bool token_first = false;  ///< dense: memory is [capacity, kv_heads, d]
  index_t page_tokens = 16;  ///< paged
};

/// A dense store with random contents; what lies behind its length is NaN.
template <rota::element E>
struct random_dense {
  std::vector<E> keys, values;
  rota::dense_store<E> store;

  random_dense(random_source& rng, const plain_shape& s) {
    store.keys = make(keys, s, s.d_k);
    store.values = make(values, s, s.d_v);
    store.length = s.length;
    for (index_t h = 0; h < s.kv_heads; ++h)
      for (index_t i = 0; i < s.length; ++i) {
        for (index_t c = 0; c < s.d_k; ++c) store.keys(h, i, c) = E(rng.normal());
        for (index_t c = 0; c < s.d_v; ++c) store.values(h, i, c) = E(rng.normal());
      }
  }
  random_dense(const random_dense&) = delete;
  random_dense& operator=(const random_dense&) = delete;

 private:
  static rota::view<E, 3> make(std::vector<E>& memory, const plain_shape& s, index_t d) {
    const index_t capacity = s.length + s.spare;
    memory.assign(static_cast<std::size_t>(s.kv_heads * capacity * d), E(__builtin_nanf("")));
    if (!s.token_first) return rota::view<E, 3>(memory.data(), s.kv_heads, capacity, d);
    return rota::view<E, 3>(memory.data(), {s.kv_heads, capacity, d}, {d, s.kv_heads * d, 1});
  }
};

/// A paged store whose pages lie in random order among others' in the pool.
template <rota::element E>
struct random_paged {
  std::vector<E> keys, values;
  std::vector<std::int32_t> table;
  rota::paged_store<E> store;

  random_paged(random_source& rng, const plain_shape& s) {
    const index_t pages = (s.length + s.page_tokens - 1) / s.page_tokens;
    const index_t pool = pages + 2;
    const auto nan = E(__builtin_nanf(""));
    keys.assign(static_cast<std::size_t>(pool * s.kv_heads * s.page_tokens * s.d_k), nan);
    values.assign(static_cast<std::size_t>(pool * s.kv_heads * s.page_tokens * s.d_v), nan);
    for (std::int32_t i = 0; i < pool; ++i) table.push_back(i);
    for (std::size_t i = table.size() - 1; i > 0; --i)
      std::swap(table[i], table[static_cast<std::size_t>(rng.below(static_cast<index_t>(i) + 1))]);
    table.resize(static_cast<std::size_t>(pages));
    store.key_pages = rota::view<E, 4>(keys.data(), pool, s.kv_heads, s.page_tokens, s.d_k);
    store.value_pages = rota::view<E, 4>(values.data(), pool, s.kv_heads, s.page_tokens, s.d_v);
    store.block_table = rota::view<const std::int32_t, 1>(table.data(), pages);
    store.length = s.length;
    for (index_t i = 0; i < s.length; ++i)
      for (index_t h = 0; h < s.kv_heads; ++h) {
        const index_t page = table[static_cast<std::size_t>(i / s.page_tokens)];
        for (index_t c = 0; c < s.d_k; ++c)
          store.key_pages(page, h, i % s.page_tokens, c) = E(rng.normal());
        for (index_t c = 0; c < s.d_v; ++c)
          store.value_pages(page, h, i % s.page_tokens, c) = E(rng.normal());
      }
  }
  random_paged(const random_paged&) = delete;
  random_paged& operator=(const random_paged&) = delete;
};

}  // namespace rota_test
