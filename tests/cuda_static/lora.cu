#include <rota/cuda/lora.cuh>

// Adapters, plain and routed, of both two-byte elements.

template <class Form, class E>
rota::status add(const rota::cuda::backend& b, std::span<const rota::lora_item<E>> batch,
                 rota::workspace ws) {
  return rota::cuda::add_lora<Form>(b, batch, ws);
}

template <class Form, class E>
constexpr auto keep = &add<Form, E>;
extern const void* const adapters[];
const void* const adapters[] = {
    reinterpret_cast<const void*>(keep<rota::plain_lora, rota::bf16>),
    reinterpret_cast<const void*>(keep<rota::routed_lora<8, 2>, rota::bf16>),
    reinterpret_cast<const void*>(keep<rota::routed_lora<4, 2, rota::sigmoid_gate>, rota::f16>)};
