#pragma once

#include <rota/lora/adapter.hpp>

namespace rota::train {

enum class gate_kind { softmax, sigmoid };

/// What an adapter under training is made of: the form that rota::routed_lora fixes when compiling
/// is a run-time value here. One subspace: a plain adapter, without a router.
struct lora_shape {
  index_t in = 0, out = 0;
  index_t rank = 0;  ///< a multiple of `subspaces`; 0: no adapter
  int subspaces = 1, active = 1;
  gate_kind gate = gate_kind::softmax;
  double alpha = 1;

  bool routed() const { return subspaces > 1; }
  /// What B A is multiplied by, gates aside.
  double scale() const { return alpha * subspaces / (static_cast<double>(rank) * active); }
  index_t parameters() const {
    if (rank == 0) return 0;
    return rank * (in + out) + (routed() ? subspaces * (in + 1) : 0);
  }
};

/// The weights of one adapter inside the parameters of all, as rota::lora_weights has them.
template <class T>
struct lora_views {
  view<T, 2> down;         ///< A [r, in]
  view<T, 2> up;           ///< B' [r, out]
  view<T, 2> router;       ///< U [N, in]; empty for a plain adapter
  view<T, 1> router_bias;  ///< u [N]

  /// `at`: lora_shape::parameters() numbers.
  lora_views(const lora_shape& s, T* at) {
    down = view<T, 2>(at, s.rank, s.in);
    at += s.rank * s.in;
    up = view<T, 2>(at, s.rank, s.out);
    at += s.rank * s.out;
    if (!s.routed()) return;
    router = view<T, 2>(at, s.subspaces, s.in);
    router_bias = view<T, 1>(at + s.subspaces * s.in, s.subspaces);
  }
};

}  // namespace rota::train
