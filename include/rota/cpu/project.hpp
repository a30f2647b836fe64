#pragma once

#include <new>

#include <rota/cpu/lora.hpp>
#include <rota/lora/projection.hpp>

namespace rota::cpu {

namespace detail {

/// Tokens and outputs that one worker projects at once.
inline constexpr index_t project_tokens = 64;
inline constexpr index_t project_outputs = 128;

/// The dense part of a projection, cut into tiles of tokens and outputs.
template <element E, element A>
class dense_part {
 public:
  explicit dense_part(const projection_item<E, A>& item)
      : weights_(item.dense),
        x_(item.part.x),
        y_(item.part.y),
        across_((y_.extent[1] + project_outputs - 1) / project_outputs) {}

  index_t tiles() const { return (x_.extent[0] + project_tokens - 1) / project_tokens * across_; }

  void run(index_t tile) const {
    const index_t token = tile / across_ * project_tokens;
    const index_t output = tile % across_ * project_outputs;
    const index_t tokens = std::min(project_tokens, x_.extent[0] - token);
    const index_t outputs = std::min(project_outputs, y_.extent[1] - output);
    const float* x[project_tokens];
    for (index_t t = 0; t < tokens; ++t) {
      x[t] = x_.row(token + t);
      begin_row(output, outputs, y_.row(token + t) + output);
    }
    const auto& [data, extent, stride] = weights_.weight;
    const view<const E, 2> rows(data + output * stride[0], {outputs, extent[1]}, stride);
    lora_detail::for_blocks(extent[1], [&](index_t first, index_t last) {
      lora_detail::add_down(x, tokens, rows, first, last, y_.row(token) + output, y_.stride[0]);
    });
  }

 private:
  void begin_row(index_t output, index_t outputs, float* y) const {
    if (weights_.bias.empty())
      std::fill(y, y + outputs, 0.0f);
    else
      for (index_t r = 0; r < outputs; ++r) y[r] = weights_.bias(output + r);
  }

  const linear_weights<E>& weights_;
  const view<const float, 2>& x_;
  const view<float, 2>& y_;
  index_t across_;
};

/// A batch's memory: the adapters' parts in a row, and what add_lora() needs for them.
template <class Form, element E, element A>
struct project_plan {
  using item_type = projection_item<E, A>;
  memory_use* uses = nullptr;     ///< [uses of all items]
  lora_item<A>* parts = nullptr;  ///< [items]
  workspace inner;

  project_plan(carver& c, const backend& b, std::span<const item_type> batch) {
    const auto items = static_cast<index_t>(batch.size());
    uses = c.take<memory_use>(items * lora_detail::uses_of_item<item_type>);
    if constexpr (lora_form<Form>) {
      parts = c.take<lora_item<A>>(items);
      carver count;
      lora_plan<Form, A>(count, b, batch);
      inner.bytes = count.bytes();
      inner.data = c.take<std::byte>(static_cast<index_t>(inner.bytes));
    }
  }
};

template <class Form, element E, element A>
status check_projection(const projection_item<E, A>& item) {
  if (status s = check_linear(item); !s) return s;
  if constexpr (lora_form<Form>) return lora_detail::check_item<Form>(item.part);
  return item.part.logits.empty() ? status{} : status{errc::bad_shape, "logits"};
}

}  // namespace detail

/// Bytes that project() needs for this call. 0 when an item's shapes are not valid.
template <class Form, element E, element A>
std::size_t project_workspace_bytes(const backend& b,
                                    std::span<const projection_item<E, A>> batch) {
  if (!check_backend(b)) return 0;
  for (const projection_item<E, A>& item : batch)
    if (!detail::check_projection<Form>(item)) return 0;
  carver count;
  detail::project_plan<Form, E, A>(count, b, batch);
  return count.bytes();
}

/// Projects each item: y = W x + b and what the adapter adds. A token's result depends on itself
/// alone, bit for bit. Errors: those of check_linear() and add_lora(); nothing is written then.
template <class Form, element E, element A>
status project(const backend& b, std::span<const projection_item<E, A>> batch, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  for (const projection_item<E, A>& item : batch)
    if (status s = detail::check_projection<Form>(item); !s) return s;
  carver from(ws);
  const detail::project_plan<Form, E, A> plan(from, b, batch);
  if (status s = from.check(); !s) return s;
  if (status s = lora_detail::check_memory(batch, plan.uses, {ws.data, from.bytes()}); !s) return s;
  for (const projection_item<E, A>& item : batch) {
    const detail::dense_part<E, A> dense(item);
    parallel_for(b, dense.tiles(), [&](index_t tile, int) { dense.run(tile); });
  }
  if constexpr (lora_form<Form>) {
    for (std::size_t i = 0; i < batch.size(); ++i) new (plan.parts + i) auto(batch[i].part);
    return add_lora<Form, A>(b, {plan.parts, batch.size()}, plan.inner);
  }
  return {};
}

}  // namespace rota::cpu
