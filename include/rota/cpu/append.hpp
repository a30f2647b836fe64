#pragma once

#include <rota/cpu/backend.hpp>
#include <rota/cpu/pack/record_writer.hpp>
#include <rota/store/layouts.hpp>

// Appending new tokens, and taking the last ones back: O(1) a token, all kv heads at once, at the
// store's next positions.

namespace rota::cpu {
namespace detail {

/// Checks rows to append; `room` is how many tokens fit.
template <class Store, element From>
status check_append(const Store& store, const view<const From, 3>& k, const view<const From, 3>& v,
                    index_t room) {
  if (status s = check_view(k, "k"); !s) return s;
  if (status s = check_view(v, "v"); !s) return s;
  if (k.extent[1] != store.kv_heads() || k.extent[2] != store.d_k()) return {errc::bad_shape, "k"};
  if (v.extent[0] != k.extent[0] || v.extent[1] != store.kv_heads() || v.extent[2] != store.d_v())
    return {errc::bad_shape, "v"};
  if (k.extent[0] > room) return {errc::tail_full, "store"};
  if (k.extent[0] > INT32_MAX - index_t{store.next_position()})
    return {errc::bad_position, "store"};
  return {};
}

template <element From>
bool rows_meet(const view<const From, 3>& k, const view<const From, 3>& v, const byte_range& r) {
  return overlaps(range_of(k), r) || overlaps(range_of(v), r);
}

/// Where a row goes: `data`, and a scale for each of its slices where it has any.
template <class T>
struct row_place {
  T* data = nullptr;
  scale_type* scales = nullptr;
};

/// Stores n elements, in slices of `width`.
template <class T, element From>
void write_row(const From* from, const row_place<T>& to, index_t n, index_t width) {
  if constexpr (std::is_same_v<T, int8>) {
    for (index_t c = 0; c < n; c += width)
      to.scales[c / width] = quantize_row(from + c, to.data + c, width);
  } else {
    convert_row(from, to.data, n);
  }
}

/// Stores row (i, h) of k and v where `key_at(h, i)` and `value_at(h, i)` say. `width`: of a slice
/// of a value.
template <element From, class KeyAt, class ValueAt>
void write_rows(const view<const From, 3>& k, const view<const From, 3>& v, index_t width,
                KeyAt key_at, ValueAt value_at) {
  for (index_t i = 0; i < k.extent[0]; ++i)
    for (index_t h = 0; h < k.extent[1]; ++h) {
      write_row(k.row(i, h), key_at(h, i), k.extent[2], k.extent[2]);
      write_row(v.row(i, h), value_at(h, i), v.extent[2], width);
    }
}

}  // namespace detail

/// Appends n tokens: k [n, kv_heads, d_k], v [n, kv_heads, d_v].
/// tail_full: they do not all fit; then nothing is appended.
template <codec E, element From>
status append(const backend&, dense_store<E>& store, view<const From, 3> k, view<const From, 3> v) {
  if (status s = store.check(); !s) return s;
  if (status s = detail::check_append(store, k, v, store.capacity() - store.length); !s) return s;
  if (detail::rows_meet(k, v, range_of(store.keys)) ||
      detail::rows_meet(k, v, range_of(store.values)) ||
      detail::rows_meet(k, v, range_of(store.key_scales)) ||
      detail::rows_meet(k, v, range_of(store.value_scales)))
    return {errc::overlapping_memory, "store"};
  const auto scale_at = [&](const view<scale_type, 2>& scales, index_t h, index_t row) {
    return scales.data == nullptr ? nullptr : &scales(h, row);
  };
  detail::write_rows(
      k, v, store.d_v(),
      [&](index_t h, index_t i) {
        const index_t row = store.length + i;
        return detail::row_place<key_type_of<E>>{store.keys.row(h, row),
                                                 scale_at(store.key_scales, h, row)};
      },
      [&](index_t h, index_t i) {
        const index_t row = store.length + i;
        return detail::row_place<value_type_of<E>>{store.values.row(h, row),
                                                   scale_at(store.value_scales, h, row)};
      });
  store.length += k.extent[0];
  return {};
}

/// The same into the sequence's pages.
template <element E, element From>
status append(const backend&, paged_store<E>& store, view<const From, 3> k, view<const From, 3> v) {
  if (status s = store.check(); !s) return s;
  if (status s = detail::check_append(store, k, v, store.capacity() - store.length); !s) return s;
  if (detail::rows_meet(k, v, range_of(store.key_pages)) ||
      detail::rows_meet(k, v, range_of(store.value_pages)))
    return {errc::overlapping_memory, "store"};
  const index_t page_tokens = store.page_tokens();
  const auto page = [&](index_t i) {
    return index_t{store.block_table((store.length + i) / page_tokens)};
  };
  const auto slot = [&](index_t i) { return (store.length + i) % page_tokens; };
  detail::write_rows(
      k, v, store.d_v(),
      [&](index_t h, index_t i) {
        return detail::row_place<E>{store.key_pages.row(page(i), h, slot(i))};
      },
      [&](index_t h, index_t i) {
        return detail::row_place<E>{store.value_pages.row(page(i), h, slot(i))};
      });
  store.length += k.extent[0];
  return {};
}

/// The same into the tail, where tokens stay whole until the store is re-routed.
template <codec E, int W, element From>
status append(const backend&, packed_store<E, W>& store, view<const From, 3> k,
              view<const From, 3> v) {
  if (status s = store.check(); !s) return s;
  const index_t count = store.tail_count();
  if (status s = detail::check_append(store, k, v, store.tail_capacity() - count); !s) return s;
  const byte_range memory(store.data, static_cast<std::size_t>(store.bytes()));
  if (detail::rows_meet(k, v, memory)) return {errc::overlapping_memory, "store"};
  detail::write_rows(
      k, v, W,
      [&](index_t h, index_t i) {
        return detail::row_place<key_type_of<E>>{store.tail_key(h, count + i),
                                                 store.tail_key_scale(h, count + i)};
      },
      [&](index_t h, index_t i) {
        return detail::row_place<value_type_of<E>>{store.tail_value(h, count + i),
                                                   store.tail_value_scales(h, count + i)};
      });
  packed_header& header = store.header();
  header.tail_count += static_cast<std::int32_t>(k.extent[0]);
  header.next_position += static_cast<std::int32_t>(k.extent[0]);
  return {};
}

/// Takes back the last n tokens, so that other ones can be appended in their place: rejected
/// drafts, an edited prompt. Costs nothing. bad_count ("n"): negative, or more than there are.
template <codec E>
status roll_back(const backend&, dense_store<E>& store, index_t n) {
  if (status s = store.check(); !s) return s;
  if (n < 0 || n > store.length) return {errc::bad_count, "n"};
  store.length -= n;
  return {};
}

/// The same; pages stay in the table.
template <element E>
status roll_back(const backend&, paged_store<E>& store, index_t n) {
  if (status s = store.check(); !s) return s;
  if (n < 0 || n > store.length) return {errc::bad_count, "n"};
  store.length -= n;
  return {};
}

/// The same, as far as the tail reaches: a sealed token has neighbours and means that were made
/// with it. tail_too_short: the tail has fewer than n tokens; then nothing is taken back.
template <codec E, int W>
status roll_back(const backend&, packed_store<E, W>& store, index_t n) {
  if (status s = store.check(); !s) return s;
  if (n < 0 || n > index_t{store.next_position()}) return {errc::bad_count, "n"};
  if (n > store.tail_count()) return {errc::tail_too_short, "n"};
  packed_header& header = store.header();
  header.tail_count -= static_cast<std::int32_t>(n);
  header.next_position -= static_cast<std::int32_t>(n);
  return {};
}

}  // namespace rota::cpu
