#pragma once

#include <span>

#include <rota/cuda/lora/products.cuh>
#include <rota/cuda/product/rows_product.cuh>

namespace rota::cuda {

namespace detail {

/// Scratch memory of one item; items follow each other on the stream and share it.
template <lora_form Form>
struct lora_memory {
  subspace_shape shape;
  split_rows router, down, up;
  float* products = nullptr;  ///< [tokens, N]
  float* codes = nullptr;     ///< [slots, tokens, padded rows of a subspace]
  routed_lists lists;

  template <element E>
  static lora_memory carve(carver& from, const lora_item<E>& item) {
    lora_memory m;
    const lora_weights<E>& w = item.weights;
    const index_t tokens = item.x.extent[0];
    m.shape.rows = w.rank() / Form::subspaces;
    if constexpr (Form::routed) {
      m.router = split_rows::carve(from, 1, Form::subspaces, w.in());
      m.products = from.take<float>(tokens * Form::subspaces);
    }
    m.down = split_rows::carve(from, 1, w.rank(), w.in());
    m.up = split_rows::carve(from, 1, w.out(), Form::subspaces * m.shape.padded());
    m.codes = from.take<float>(Form::active * tokens * m.shape.padded());
    m.lists = routed_lists::carve<Form>(from, tokens);
    return m;
  }
};

template <lora_form Form, element E>
status check_lora_item(const backend& b, const lora_item<E>& item) {
  const lora_weights<E>& w = item.weights;
  if (status s = check_lora<Form>(w); !s) return s;
  if (status s = check_rows(b, item.x, chunk_bytes, "x"); !s) return s;
  if (status s = check_output(item.y, "y"); !s) return s;
  if (status s = check_rows(b, item.y, alignof(float), "y"); !s) return s;
  if (status s = check_output(item.logits, "logits"); !s) return s;
  if (status s = check_rows(b, item.logits, alignof(float), "logits"); !s) return s;
  if (status s = check_rows(b, w.down, sizeof(E), "down"); !s) return s;
  if (status s = check_rows(b, w.up, sizeof(E), "up"); !s) return s;
  if (status s = check_rows(b, w.router, sizeof(E), "router"); !s) return s;
  if (status s = check_rows(b, w.router_bias, alignof(float), "router_bias"); !s) return s;
  if (item.x.extent[1] != w.in()) return {errc::bad_shape, "x"};
  if (item.y.extent[0] != item.x.extent[0] || item.y.extent[1] != w.out())
    return {errc::bad_shape, "y"};
  if (item.x.extent[0] > INT32_MAX / Form::active) return {errc::bad_shape, "x"};
  if (item.logits.empty()) return {};
  if (!Form::routed || item.logits.extent[0] != item.x.extent[0] ||
      item.logits.extent[1] != Form::subspaces)
    return {errc::bad_shape, "logits"};
  return {};
}

/// Whether no number is in both: views of other memory, or other columns of the same rows (as the
/// parts of a fused projection are).
inline bool are_apart(const view<float, 2>& a, const view<float, 2>& b) {
  if (!overlaps(range_of(a), range_of(b))) return true;
  const index_t stride = a.stride[0];
  if (b.stride[0] != stride || stride < a.extent[1] || stride < b.extent[1]) return false;
  const index_t ahead = b.data - a.data, column = (ahead % stride + stride) % stride;
  return column >= a.extent[1] && column + b.extent[1] <= stride;
}

/// Whether an item's outputs and the scratch memory lie apart from each other and from what any
/// item of the batch reads.
template <element E>
status check_lora_memory(std::span<const lora_item<E>> batch, const byte_range& scratch) {
  for (const lora_item<E>& item : batch) {
    const byte_range y = range_of(item.y), logits = range_of(item.logits);
    if (overlaps(y, scratch) || overlaps(logits, scratch)) return {errc::overlapping_memory, "ws"};
    if (!are_apart(item.y, item.logits)) return {errc::overlapping_memory, "logits"};
    for (const lora_item<E>& other : batch) {
      const byte_range reads[] = {range_of(other.x), range_of(other.weights.down),
                                  range_of(other.weights.up), range_of(other.weights.router),
                                  range_of(other.weights.router_bias)};
      for (const byte_range& r : reads) {
        if (overlaps(r, scratch)) return {errc::overlapping_memory, "ws"};
        if (overlaps(r, y)) return {errc::overlapping_memory, "y"};
        if (overlaps(r, logits)) return {errc::overlapping_memory, "logits"};
      }
      if (&other == &item) continue;
      if (!are_apart(other.y, item.y)) return {errc::overlapping_memory, "y"};
      if (!are_apart(other.y, item.logits) || !are_apart(other.logits, item.logits))
        return {errc::overlapping_memory, "logits"};
    }
  }
  return {};
}

template <int Rows, lora_form Form, element E>
status launch_down(const backend& b, const lora_item<E>& item, const lora_memory<Form>& m) {
  using kernel = lora_down_kernel<Rows>;
  return launch<kernel>(
      b, {entry_tile::most(m.lists), blocks_of(m.shape.padded(), Rows), m.lists.slots},
      {m.lists, item.x.data, item.x.stride[0], m.down, m.shape, lora_scale<Form>(item.weights),
       m.codes, b.fault},
      kernel::product::shared_bytes);
}

template <lora_form Form, element E>
status add_lora_once(const backend& b, const lora_item<E>& item, workspace ws) {
  if (item.x.extent[0] == 0) return {};
  carver from(ws);
  const lora_memory<Form> m = lora_memory<Form>::carve(from, item);
  const lora_weights<E>& w = item.weights;
  const down_rows<E> down{w.down.data, w.down.stride[0]};
  const up_rows<E> up{w.up.data, w.up.stride[0], m.shape};
  if constexpr (Form::routed) {
    const down_rows<E> router{w.router.data, w.router.stride[0]};
    const state_rows x{item.x.data, item.x.stride[0], {item.x.extent[0], nullptr}};
    if (status s = launch_split(b, 1, router, m.router); !s) return s;
    if (status s = launch_product(b, x, m.router, m.products); !s) return s;
    if (status s = launch_route<Form>(b, item, m.products, m.lists); !s) return s;
  }
  if (status s = launch_split(b, 1, down, m.down); !s) return s;
  if (status s = launch_split(b, 1, up, m.up); !s) return s;
  // Narrow subspaces would leave most of a wide tile idle.
  if (status s = m.shape.rows <= 16 ? launch_down<16>(b, item, m) : launch_down<64>(b, item, m); !s)
    return s;
  for (int slot = 0; slot < m.lists.slots; ++slot)
    if (status s = launch<lora_up_kernel>(
            b, {entry_tile::most(m.lists), blocks_of(w.out(), split_rows::tile)},
            {m.lists, slot, m.codes, m.up, m.shape, item.y.data, item.y.stride[0], b.fault},
            lora_up_kernel::product::shared_bytes);
        !s)
      return s;
  return {};
}

}  // namespace detail

/// Scratch bytes that add_lora() needs for this batch. 0 when it is not valid.
template <lora_form Form, element E>
std::size_t add_lora_workspace_bytes(const backend& b, std::span<const lora_item<E>> batch) {
  if (!check_backend(b)) return 0;
  std::size_t most = 0;
  for (const lora_item<E>& item : batch) {
    if (!detail::check_lora_item<Form>(b, item)) return 0;
    carver count;
    detail::lora_memory<Form>::carve(count, item);
    most = count.bytes() > most ? count.bytes() : most;
  }
  return most;
}

/// Adds to each item's projection y what its adapter makes of x, as rota::cpu::add_lora; everything
/// lies in device memory. Tokens are grouped by the subspaces that they chose, and products are
/// made on the matrix unit, nearly as exact as in float. The choice is the CPU's for equal logits;
/// a token's sums are added slot by slot, so a result is always the same. Items follow each other
/// on the stream. Weights are split anew at each call.
///
/// From the host: the errors of check_lora(), those of the views "x" (rows on 16 bytes), "y" and
/// "logits", wrong_memory, bad_alignment, overlapping_memory, workspace_too_small; nothing is
/// written then.
template <lora_form Form, element E>
status add_lora(const backend& b, std::span<const lora_item<E>> batch, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  for (const lora_item<E>& item : batch)
    if (status s = detail::check_lora_item<Form>(b, item); !s) return s;
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  if (status s = detail::check_lora_memory(batch, byte_range(ws.data, ws.bytes)); !s) return s;
  for (const lora_item<E>& item : batch) {
    carver count(ws);
    detail::lora_memory<Form>::carve(count, item);
    if (status s = count.check(); !s) return s;
  }
  for (const lora_item<E>& item : batch)
    if (status s = detail::add_lora_once<Form>(b, item, ws); !s) return s;
  return {};
}

/// The same for one item.
template <lora_form Form, element E>
std::size_t add_lora_workspace_bytes(const backend& b, const lora_item<E>& item) {
  return add_lora_workspace_bytes<Form, E>(b, std::span<const lora_item<E>>(&item, 1));
}
template <lora_form Form, element E>
status add_lora(const backend& b, const lora_item<E>& item, workspace ws) {
  return add_lora<Form, E>(b, std::span<const lora_item<E>>(&item, 1), ws);
}

}  // namespace rota::cuda
