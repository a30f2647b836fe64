#pragma once

#include <rota/cuda/launch.cuh>
#include <rota/cuda/pack/records.cuh>
#include <rota/cuda/store/rows.cuh>

// Appending new tokens, and taking the last ones back: O(1) a token, all kv heads at once, at the
// store's next positions. Counts that lie in device memory are checked and advanced there.

namespace rota::cuda {

/// New rows [n, kv_heads, d] as kernels read them.
template <element From>
struct new_rows {
  const From* k;
  const From* v;
  index_t k_token, k_head, v_token, v_head;  ///< strides
  index_t n;

  new_rows(const view<const From, 3>& keys, const view<const From, 3>& values)
      : k(keys.data),
        v(values.data),
        k_token(keys.stride[0]),
        k_head(keys.stride[1]),
        v_token(values.stride[0]),
        v_head(values.stride[1]),
        n(keys.extent[0]) {}
};

/// Copies new rows behind what is there, a block a token and head.
template <element From, class Rows>
struct append_kernel {
  static constexpr int threads = 64;
  static constexpr int least_blocks = 8;
  using E = typename Rows::element_type;

  struct arguments {
    new_rows<From> from;
    Rows to;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault)) return;
    const index_t i = ptx::block_x(), h = ptx::block_y();
    const index_t count = a.to.count(a.fault);
    if (count < 0) return;
    if (count + a.from.n > a.to.capacity) {
      if (ptx::thread_index() == 0) report(a.fault, errc::tail_full, culprit::store);
      return;
    }
    E* const key = a.to.key(h, count + i, a.fault);
    E* const value = a.to.value(h, count + i, a.fault);
    if (key == nullptr || value == nullptr) return;
    constexpr int elements = chunk_bytes / static_cast<int>(sizeof(E));
    const auto copy = [](const From* row, E* to, index_t d) {
      const int chunks = static_cast<int>(d) / elements;
      for (int c = static_cast<int>(ptx::thread_index()); c < chunks; c += threads)
        ptx::store(reinterpret_cast<ptx::chunk16*>(to) + c, load_chunk<E>(row, c));
    };
    copy(a.from.k + i * a.from.k_token + h * a.from.k_head, key, a.to.d_k);
    copy(a.from.v + i * a.from.v_token + h * a.from.v_head, value, a.to.d_v);
  }
};

/// Counts n more tokens, or fewer.
template <class Rows>
struct advance_kernel {
  static constexpr int threads = 32;
  static constexpr int least_blocks = 1;

  struct arguments {
    Rows rows;
    index_t n;
    std::uint32_t* fault;
  };

  ROTA_DEVICE static void run(const arguments& a) {
    if (failed(a.fault) || ptx::thread_index() != 0) return;
    const index_t count = a.rows.count(a.fault);
    if (count < 0) return;
    if (count + a.n < 0)
      report(a.fault, a.rows.too_few(), culprit::store);
    else
      a.rows.advance(a.n);
  }
};

namespace detail {

/// What can be seen of an append from the host.
template <class Store, element From>
status check_append(const backend& b, const Store& store, const view<const From, 3>& k,
                    const view<const From, 3>& v) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_rows(b, k, chunk_bytes, "k"); !s) return s;
  if (status s = check_rows(b, v, chunk_bytes, "v"); !s) return s;
  if (k.extent[1] != store.kv_heads() || k.extent[2] != store.d_k()) return {errc::bad_shape, "k"};
  if (v.extent[0] != k.extent[0] || v.extent[1] != store.kv_heads() || v.extent[2] != store.d_v())
    return {errc::bad_shape, "v"};
  constexpr index_t elements =
      chunk_bytes / static_cast<index_t>(sizeof(typename Store::element_type));
  if (store.d_k() % elements != 0) return {errc::unsupported, "k"};
  if (store.d_v() % elements != 0) return {errc::unsupported, "v"};
  if (status s = check_store(b, store); !s) return s;
  if (meets(store, range_of(k)) || meets(store, range_of(v)))
    return {errc::overlapping_memory, "store"};
  return {};
}

template <element From, class Rows>
status append_rows(const backend& b, const Rows& rows, const view<const From, 3>& k,
                   const view<const From, 3>& v) {
  if (status s = launch<append_kernel<From, Rows>>(b, {k.extent[0], k.extent[1]},
                                                   {new_rows<From>(k, v), rows, b.fault});
      !s)
    return s;
  if (rows.counts_on_host()) return {};
  return launch<advance_kernel<Rows>>(b, {1}, {rows, k.extent[0], b.fault});
}

}  // namespace detail

/// Appends n tokens: k [n, kv_heads, d_k], v [n, kv_heads, d_v], rows on 16 bytes. unsupported
/// ("k", "v"): a row of the store is no multiple of 16 bytes. tail_full
/// ("store"): they do not all fit, and nothing is appended; found on the host where the count is
/// there, else on the device.
template <element E, element From>
status append(const backend& b, dense_store<E>& store, view<const From, 3> k,
              view<const From, 3> v) {
  if (status s = detail::check_append(b, store, k, v); !s) return s;
  if (store.device_length == nullptr && k.extent[0] > store.capacity() - store.length)
    return {errc::tail_full, "store"};
  if (status s = detail::append_rows(b, dense_rows<E>(store), k, v); !s) return s;
  if (store.device_length == nullptr) store.length += k.extent[0];
  return {};
}

/// The same into the sequence's pages; the block table lies in device memory. bad_store on the
/// device: it names a page that does not exist.
template <element E, element From>
status append(const backend& b, paged_store<E>& store, view<const From, 3> k,
              view<const From, 3> v) {
  if (status s = detail::check_append(b, store, k, v); !s) return s;
  if (store.device_length == nullptr && k.extent[0] > store.capacity() - store.length)
    return {errc::tail_full, "store"};
  if (status s = detail::append_rows(b, paged_rows<E>(store), k, v); !s) return s;
  if (store.device_length == nullptr) store.length += k.extent[0];
  return {};
}

/// The same into the tail, where tokens stay whole until the store is packed again.
template <element E, int W, class Swizzle, element From>
status append(const backend& b, packed_store<E, W, Swizzle>& store, view<const From, 3> k,
              view<const From, 3> v) {
  if (status s = detail::check_append(b, store, k, v); !s) return s;
  if (k.extent[0] > store.tail_capacity()) return {errc::tail_full, "store"};
  return detail::append_rows(b, tail_rows<E>(store), k, v);
}

/// Takes back the last n tokens. bad_count ("n") on the host, or on the device ("store"): more than
/// there are.
template <element E>
status roll_back(const backend& b, dense_store<E>& store, index_t n) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_store(b, store); !s) return s;
  if (n < 0 || n > store.capacity()) return {errc::bad_count, "n"};
  if (store.device_length != nullptr)
    return launch<advance_kernel<dense_rows<E>>>(b, {1}, {dense_rows<E>(store), -n, b.fault});
  if (n > store.length) return {errc::bad_count, "n"};
  store.length -= n;
  return {};
}

/// The same; pages stay in the table.
template <element E>
status roll_back(const backend& b, paged_store<E>& store, index_t n) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_store(b, store); !s) return s;
  if (n < 0 || n > store.capacity()) return {errc::bad_count, "n"};
  if (store.device_length != nullptr)
    return launch<advance_kernel<paged_rows<E>>>(b, {1}, {paged_rows<E>(store), -n, b.fault});
  if (n > store.length) return {errc::bad_count, "n"};
  store.length -= n;
  return {};
}

/// The same, as far as the tail reaches: tail_too_short on the device ("store").
template <element E, int W, class Swizzle>
status roll_back(const backend& b, packed_store<E, W, Swizzle>& store, index_t n) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_store(b, store); !s) return s;
  if (n < 0) return {errc::bad_count, "n"};
  return launch<advance_kernel<tail_rows<E>>>(b, {1}, {tail_rows<E>(store), -n, b.fault});
}

}  // namespace rota::cuda
