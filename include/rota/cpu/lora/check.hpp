#pragma once

#include <span>

#include <rota/cpu/memory_use.hpp>
#include <rota/cpu/simd/isa.hpp>
#include <rota/lora/projection.hpp>

// What can be wrong with a batch of adapters.

namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail {

template <lora_form Form, element E>
status check_item(const lora_item<E>& item) {
  if (status s = check_lora<Form>(item.weights); !s) return s;
  if (status s = check_view(item.x, "x"); !s) return s;
  if (status s = check_output(item.y, "y"); !s) return s;
  if (status s = check_output(item.logits, "logits"); !s) return s;
  if (item.x.extent[1] != item.weights.in()) return {errc::bad_shape, "x"};
  if (item.y.extent[0] != item.x.extent[0] || item.y.extent[1] != item.weights.out())
    return {errc::bad_shape, "y"};
  if (item.x.extent[0] > INT32_MAX / Form::active) return {errc::bad_shape, "x"};
  if (item.logits.empty()) return {};
  if (!Form::routed || item.logits.extent[0] != item.x.extent[0] ||
      item.logits.extent[1] != Form::subspaces)
    return {errc::bad_shape, "logits"};
  return {};
}

using cpu::detail::holes;
using cpu::detail::memory_use;

/// The adapter's part of an item.
template <element E>
const lora_item<E>& part_of(const lora_item<E>& item) {
  return item;
}
template <element E, element A>
const lora_item<A>& part_of(const projection_item<E, A>& item) {
  return item.part;
}

/// How many addresses an item uses.
template <class Item>
inline constexpr int uses_of_item = 0;
template <element E>
inline constexpr int uses_of_item<lora_item<E>> = 7;
template <element E, element A>
inline constexpr int uses_of_item<projection_item<E, A>> = 9;

template <element E>
void uses_of(const lora_item<E>& item, holes h, memory_use* to) {
  using cpu::detail::range_of;
  to[0] = {range_of(item.y, h), "y"};
  to[1] = {range_of(item.logits, h), "logits"};
  to[2] = {range_of(item.x, h), nullptr};
  to[3] = {range_of(item.weights.down, h), nullptr};
  to[4] = {range_of(item.weights.up, h), nullptr};
  to[5] = {range_of(item.weights.router, h), nullptr};
  to[6] = {range_of(item.weights.router_bias, h), nullptr};
}
template <element E, element A>
void uses_of(const projection_item<E, A>& item, holes h, memory_use* to) {
  uses_of(item.part, h, to);
  to[7] = {cpu::detail::range_of(item.dense.weight, h), nullptr};
  to[8] = {cpu::detail::range_of(item.dense.bias, h), nullptr};
}

/// Whether what an item writes lies apart from what any item uses, and all of it from `scratch`.
/// `uses`: room for those of all items.
template <class Item>
status check_memory(std::span<const Item> batch, memory_use* uses, const byte_range& scratch) {
  memory_use* end = uses;
  for (const Item& item : batch) {
    memory_use own[uses_of_item<Item>];
    uses_of(item, holes::counted, own);
    for (const memory_use& u : own)
      if (overlaps(u.range, scratch)) return {errc::overlapping_memory, "ws"};
    if (status s = cpu::detail::check_apart(own); !s) return s;
    uses_of(item, holes::passed_over, end);
    end += uses_of_item<Item>;
  }
  return cpu::detail::check_apart(uses, end);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail
