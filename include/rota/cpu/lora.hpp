#pragma once

#include <rota/cpu/backend.hpp>
#include <rota/cpu/lora/check.hpp>
#include <rota/cpu/lora/unit.hpp>

namespace rota::cpu {

namespace detail {

/// A batch cut into units, and the scratch memory of the workers.
template <lora_form Form, element E>
struct lora_plan {
  index_t unit_tokens = 0;        ///< at most, of a unit
  memory_use* uses = nullptr;     ///< [uses of all items]
  index_t* first_unit = nullptr;  ///< [items + 1], of each item
  std::byte* workers = nullptr;   ///< [threads, bytes_each]
  std::size_t bytes_each = 0;

  template <class Item>
  lora_plan(carver& c, const backend& b, std::span<const Item> batch) {
    using lora_detail::part_of;
    const auto items = static_cast<index_t>(batch.size());
    index_t tokens = 0, rank = 0;
    for (const Item& item : batch) {
      tokens += part_of(item).x.extent[0];
      rank = std::max(rank, part_of(item).weights.rank());
    }
    unit_tokens = std::clamp<index_t>(tokens / b.exec.threads, 1, lora_detail::most_tokens);
    carver count;
    lora_detail::unit_memory<Form>(count, unit_tokens, rank);
    bytes_each = count.bytes();
    uses = c.take<memory_use>(items * lora_detail::uses_of_item<lora_item<E>>);
    first_unit = c.take<index_t>(items + 1);
    workers = c.take<std::byte>(b.exec.threads * static_cast<index_t>(bytes_each));
  }

  /// Counts the units; returns how many.
  index_t cut(std::span<const lora_item<E>> batch) const {
    first_unit[0] = 0;
    for (std::size_t i = 0; i < batch.size(); ++i)
      first_unit[i + 1] = first_unit[i] + (batch[i].x.extent[0] + unit_tokens - 1) / unit_tokens;
    return first_unit[batch.size()];
  }

  void run(std::span<const lora_item<E>> batch, index_t unit, int worker) const {
    const index_t* const begin = first_unit;
    const index_t* const end = begin + batch.size();
    const index_t i = std::upper_bound(begin, end, unit) - begin - 1;
    const lora_item<E>& item = batch[static_cast<std::size_t>(i)];
    const index_t first = (unit - first_unit[i]) * unit_tokens;
    carver own(workspace{workers + static_cast<std::size_t>(worker) * bytes_each, bytes_each});
    const lora_detail::unit_memory<Form> memory(own, unit_tokens, item.weights.rank());
    const index_t count = std::min(unit_tokens, item.x.extent[0] - first);
    lora_detail::unit<Form, E>(item, first, count, memory).run();
  }
};

}  // namespace detail

/// Bytes that add_lora() needs for this call. 0 when an item's shapes are not valid.
template <lora_form Form, element E>
std::size_t add_lora_workspace_bytes(const backend& b, std::span<const lora_item<E>> batch) {
  if (!check_backend(b)) return 0;
  for (const lora_item<E>& item : batch)
    if (!lora_detail::check_item<Form>(item)) return 0;
  carver count;
  detail::lora_plan<Form, E>(count, b, batch);
  return count.bytes();
}

/// Adds to each item's projection y what its adapter makes of x: sequences with adapters of their
/// own in one call, or one item of many tokens, which are then grouped by the subspaces that they
/// chose. A token's result depends on itself alone, bit for bit. Errors: those of check_lora(),
/// null_view, bad_shape and bad_stride of "x", "y" and "logits", overlapping_memory,
/// workspace_too_small; nothing is written then. NaN in x or in a router gives what the formula
/// gives.
template <lora_form Form, element E>
status add_lora(const backend& b, std::span<const lora_item<E>> batch, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  for (const lora_item<E>& item : batch)
    if (status s = lora_detail::check_item<Form>(item); !s) return s;
  carver from(ws);
  const detail::lora_plan<Form, E> plan(from, b, batch);
  if (status s = from.check(); !s) return s;
  if (status s = lora_detail::check_memory(batch, plan.uses, {ws.data, from.bytes()}); !s) return s;
  parallel_for(b, plan.cut(batch),
               [&](index_t unit, int worker) { plan.run(batch, unit, worker); });
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

}  // namespace rota::cpu
