#pragma once

#include <cmath>
#include <span>

namespace rota::train {

/// SwiGLU's gated activation (Shazeer 2020, arXiv 2002.05202): y = silu(gate) up, element by
/// element. All spans are as long.
template <class T>
void swiglu(std::span<const T> gate, std::span<const T> up, std::span<T> y) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

/// The derivatives by gate and up, given that by y. `dgate` and `dup` are written.
template <class T>
void swiglu_backward(std::span<const T> gate, std::span<const T> up, std::span<const T> dy,
                     std::span<T> dgate, std::span<T> dup) {
  for (std::size_t i = 0; i < dy.size(); ++i) {
    const T sigmoid = 1 / (1 + std::exp(-gate[i]));
    dup[i] = dy[i] * gate[i] * sigmoid;
    dgate[i] = dy[i] * up[i] * sigmoid * (1 + gate[i] * (1 - sigmoid));
  }
}

}  // namespace rota::train
