#include "adapt/frozen.hpp"

namespace rota_lm {

namespace {

template <class T>
std::vector<T> frozen_row(const row_vector& from) {
  return {from.data(), from.data() + from.size()};
}

}  // namespace

template <class T>
frozen_matrix<T>::frozen_matrix(const matrix& from) : from_(&from) {
  if constexpr (!std::is_same_v<T, float>) copy_ = from.template cast<T>();
}

template <class T>
frozen_linear<T>::frozen_linear(const linear& from)
    : weight(from.weight), bias(from.bias.template cast<T>()) {}

template <class T>
frozen_layer<T>::frozen_layer(const layer_weights& w)
    : attention_norm(frozen_row<T>(w.attention_norm)),
      q_norm(frozen_row<T>(w.q_norm)),
      k_norm(frozen_row<T>(w.k_norm)),
      mlp_norm(frozen_row<T>(w.mlp_norm)) {
  for (const linear* p : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down})
    projections.emplace_back(*p);
}

template <class T>
frozen_weights<T>::frozen_weights(const model_weights& w)
    : embedding(w.embedding), head(w.output()), final_norm(frozen_row<T>(w.final_norm)) {
  for (const layer_weights& l : w.layers) layers.emplace_back(l);
}

template class frozen_matrix<float>;
template class frozen_matrix<double>;
template struct frozen_linear<float>;
template struct frozen_linear<double>;
template struct frozen_layer<float>;
template struct frozen_layer<double>;
template struct frozen_weights<float>;
template struct frozen_weights<double>;

}  // namespace rota_lm
