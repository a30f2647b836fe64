#pragma once

#include <span>

#include <rota/cpu/memory_use.hpp>
#include <rota/cpu/simd/isa.hpp>
#include <rota/lora/adapter.hpp>

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

inline constexpr int uses_of_item = 7;

/// Whether what an item writes lies apart from what any item uses, and all of it from `scratch`.
template <element E>
status check_memory(std::span<const lora_item<E>> batch, cpu::detail::memory_use* uses,
                    const byte_range& scratch) {
  using namespace cpu::detail;
  const auto uses_of = [](const lora_item<E>& item, holes h, memory_use* to) {
    to[0] = {range_of(item.y, h), "y"};
    to[1] = {range_of(item.logits, h), "logits"};
    to[2] = {range_of(item.x, h), nullptr};
    to[3] = {range_of(item.weights.down, h), nullptr};
    to[4] = {range_of(item.weights.up, h), nullptr};
    to[5] = {range_of(item.weights.router, h), nullptr};
    to[6] = {range_of(item.weights.router_bias, h), nullptr};
  };
  memory_use* end = uses;
  for (const lora_item<E>& item : batch) {
    memory_use own[uses_of_item];
    uses_of(item, holes::counted, own);
    for (const memory_use& u : own)
      if (overlaps(u.range, scratch)) return {errc::overlapping_memory, "ws"};
    if (status s = check_apart(own); !s) return s;
    uses_of(item, holes::passed_over, end);
    end += uses_of_item;
  }
  return check_apart(uses, end);
}

}  // namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail
