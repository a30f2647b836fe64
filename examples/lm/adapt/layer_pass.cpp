#include "adapt/layer_pass.hpp"

#include <rota/train/rms_norm.hpp>

namespace rota_lm {

template <class T>
void rotary_angles<T>::rotate(rota::cpu::train_matrix<T>& heads, std::size_t head_dim,
                              rotation one) const {
  const std::size_t half = head_dim / 2;
  for (Eigen::Index t = 0; t < heads.rows(); ++t)
    for (std::size_t i = 0; i < static_cast<std::size_t>(heads.cols()); i += head_dim)
      one(std::span<const T>(cosine.data() + t * half, half),
          std::span<const T>(sine.data() + t * half, half),
          std::span(heads.row(t).data() + i, head_dim));
}

template <class T>
rota::cpu::train_matrix<T> norm_pass<T>::forward(const rota::cpu::train_matrix<T>& from,
                                                 const std::vector<T>& gain, double eps) {
  x = from;
  inverse.clear();
  rota::cpu::train_matrix<T> y(x.rows(), x.cols());
  const std::size_t width = gain.size();
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.size()); i += width)
    inverse.push_back(rota::train::rms_norm<T>(std::span<const T>(x.data() + i, width), gain,
                                               static_cast<T>(eps),
                                               std::span(y.data() + i, width)));
  return y;
}

template <class T>
void norm_pass<T>::backward(const std::vector<T>& gain, const rota::cpu::train_matrix<T>& dy,
                            rota::cpu::train_matrix<T>& dx) const {
  const std::size_t width = gain.size();
  for (std::size_t r = 0; r < inverse.size(); ++r)
    rota::train::rms_norm_backward<T>(std::span<const T>(x.data() + r * width, width), gain,
                                      inverse[r], std::span<const T>(dy.data() + r * width, width),
                                      std::span(dx.data() + r * width, width));
}

template struct rotary_angles<float>;
template struct rotary_angles<double>;
template struct norm_pass<float>;
template struct norm_pass<double>;

}  // namespace rota_lm
