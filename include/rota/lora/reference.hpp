#pragma once

#include <vector>

#include <rota/lora/adapter.hpp>

// The slow oracle of the adapters: one token after the other, in double.

namespace rota::reference {

/// What a token's adapter adds to its projection.
struct lora_part {
  std::vector<float> logits;  ///< [N]; the selection is made of these
  std::vector<int> chosen;    ///< ascending
  std::vector<double> gates;  ///< of the chosen
  std::vector<double> y;      ///< [out]
};

/// `logits`: where another implementation's are given, the choice is made of them, so that sums
/// that differ in the last place do not make another choice.
template <lora_form Form, element E>
lora_part lora_of_token(const lora_weights<E>& w, const float* x, const float* logits = nullptr) {
  constexpr int n = Form::subspaces, k = Form::active;
  const auto dot = [&](const E* row) {
    double sum = 0;
    for (index_t c = 0; c < w.in(); ++c)
      sum += static_cast<double>(static_cast<float>(row[c])) * static_cast<double>(x[c]);
    return sum;
  };
  lora_part out;
  out.chosen.assign(k, 0);
  out.gates.assign(k, 1);
  if constexpr (Form::routed) {
    std::vector<double> z(n), z_chosen(k);
    for (int i = 0; i < n; ++i) {
      z[i] = dot(w.router.row(i));
      if (!w.router_bias.empty()) z[i] += static_cast<double>(w.router_bias(i));
      out.logits.push_back(logits != nullptr ? logits[i] : static_cast<float>(z[i]));
    }
    choose_largest(out.logits.data(), n, k, out.chosen.data());
    for (int i = 0; i < k; ++i) z_chosen[i] = z[out.chosen[i]];
    Form::gate::gates(z_chosen.data(), k, out.gates.data());
  }
  out.y.assign(static_cast<std::size_t>(w.out()), 0);
  const index_t part = w.rank() / n;
  for (int i = 0; i < k; ++i)
    for (index_t r = out.chosen[i] * part; r < (out.chosen[i] + 1) * part; ++r) {
      const double c = static_cast<double>(lora_scale<Form>(w)) * out.gates[i] * dot(w.down.row(r));
      for (index_t j = 0; j < w.out(); ++j)
        out.y[static_cast<std::size_t>(j)] +=
            c * static_cast<double>(static_cast<float>(w.up(r, j)));
    }
  return out;
}

}  // namespace rota::reference
