#pragma once

#include <rota/core/workspace.hpp>
#include <rota/cpu/lora/kernels.hpp>
#include <rota/lora/adapter.hpp>

// One adapter over a run of tokens, the work of one worker: route -> list the tokens of each
// subspace -> down -> up.

namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail {

/// Tokens of a unit at most: what is read of them stays in the second cache.
inline constexpr index_t most_tokens = 128;
/// Input channels and output columns that all subspaces go through before the next ones.
inline constexpr index_t channel_block = 1024;

/// Scratch memory of a unit. The tokens of a subspace are a run of the list.
template <lora_form Form>
struct unit_memory {
  float* logits = nullptr;        ///< [tokens, N]
  int* chosen = nullptr;          ///< [tokens, K]
  float* gates = nullptr;         ///< [tokens, K]
  std::int32_t* begin = nullptr;  ///< [N + 1], where a subspace's run begins
  std::int32_t* token = nullptr;  ///< [tokens * K], of the list
  float* gate = nullptr;          ///< [tokens * K]
  const float** x = nullptr;      ///< [tokens * K], rows of the listed tokens
  float** y = nullptr;            ///< [tokens * K]
  float* codes = nullptr;         ///< [tokens * K, r / N]: A x, then scaled and gated

  unit_memory(carver& c, index_t tokens, index_t rank) {
    const index_t entries = tokens * Form::active;
    logits = c.take<float>(tokens * Form::subspaces);
    chosen = c.take<int>(entries);
    gates = c.take<float>(entries);
    begin = c.take<std::int32_t>(Form::subspaces + 1);
    token = c.take<std::int32_t>(entries);
    gate = c.take<float>(entries);
    x = c.take<const float*>(entries);
    y = c.take<float*>(entries);
    codes = c.take<float>(entries * (rank / Form::subspaces));
  }
};

/// Calls f(first, last) for blocks of [0, n).
template <class F>
void for_blocks(index_t n, F&& f) {
  for (index_t first = 0; first < n; first += channel_block)
    f(first, std::min(first + channel_block, n));
}

/// A run of an item's tokens. Views of the item begin with the run.
template <lora_form Form, element E>
class unit {
 public:
  unit(const lora_item<E>& item, index_t first, index_t count, const unit_memory<Form>& m)
      : item_(item), first_(first), tokens_(static_cast<int>(count)), m_(m) {}

  void run() const {
    if constexpr (Form::routed)
      route();
    else
      route_all();
    list_tokens();
    go_down();
    go_up();
  }

 private:
  static constexpr int n = Form::subspaces, k = Form::active;

  /// A plain adapter has one subspace that every token uses.
  void route_all() const {
    std::fill(m_.chosen, m_.chosen + tokens_, 0);
    std::fill(m_.gates, m_.gates + tokens_, 1.0f);
  }

  void route() const {
    for (int t = 0; t < tokens_; ++t) m_.x[t] = item_.x.row(first_ + t);
    std::fill(m_.logits, m_.logits + tokens_ * n, 0.0f);
    for_blocks(item_.weights.in(), [&](index_t first, index_t last) {
      add_down(m_.x, tokens_, item_.weights.router, first, last, m_.logits, n);
    });
    for (int t = 0; t < tokens_; ++t) {
      float* const z = m_.logits + t * n;
      if (!item_.weights.router_bias.empty())
        for (int i = 0; i < n; ++i) z[i] += item_.weights.router_bias(i);
      int* const chosen = m_.chosen + t * k;
      choose_largest(z, n, k, chosen);
      float z_chosen[k];
      for (int i = 0; i < k; ++i) z_chosen[i] = z[chosen[i]];
      Form::gate::gates(z_chosen, k, m_.gates + t * k);
      if (!item_.logits.empty()) std::copy_n(z, n, item_.logits.row(first_ + t));
    }
  }

  /// Lists the tokens of each subspace, ascending, with what their codes are multiplied by.
  void list_tokens() const {
    const float scale = lora_scale<Form>(item_.weights);
    std::fill(m_.begin, m_.begin + n + 1, 0);
    for (int e = 0; e < tokens_ * k; ++e) ++m_.begin[m_.chosen[e] + 1];
    std::int32_t at[n];
    for (int i = 0; i < n; ++i) {
      at[i] = m_.begin[i];
      m_.begin[i + 1] += m_.begin[i];
    }
    for (int e = 0; e < tokens_ * k; ++e) {
      const std::int32_t place = at[m_.chosen[e]]++;
      m_.token[place] = e / k;
      m_.gate[place] = scale * m_.gates[e];
    }
    for (int e = 0; e < tokens_ * k; ++e) {
      m_.x[e] = item_.x.row(first_ + m_.token[e]);
      m_.y[e] = item_.y.row(first_ + m_.token[e]);
    }
  }

  index_t part() const { return item_.weights.rank() / n; }

  /// Rows of subspace i.
  view<const E, 2> rows(const view<const E, 2>& all, int i) const {
    return {all.data + i * part() * all.stride[0], {part(), all.extent[1]}, all.stride};
  }

  void go_down() const {
    const index_t codes = tokens_ * k * part();
    std::fill(m_.codes, m_.codes + codes, 0.0f);
    for_blocks(item_.weights.in(), [&](index_t first, index_t last) {
      for (int i = 0; i < n; ++i)
        add_down(m_.x + m_.begin[i], m_.begin[i + 1] - m_.begin[i], rows(item_.weights.down, i),
                 first, last, m_.codes + m_.begin[i] * part(), part());
    });
    for (index_t c = 0; c < codes; ++c) m_.codes[c] *= m_.gate[c / part()];
  }

  void go_up() const {
    for_blocks(item_.weights.out(), [&](index_t first, index_t last) {
      for (int i = 0; i < n; ++i)
        add_up(m_.y + m_.begin[i], m_.begin[i + 1] - m_.begin[i], m_.codes + m_.begin[i] * part(),
               rows(item_.weights.up, i), first, last);
    });
  }

  const lora_item<E>& item_;
  index_t first_;
  int tokens_;
  const unit_memory<Form>& m_;
};

}  // namespace rota::cpu::inline ROTA_CPU_ISA::lora_detail
