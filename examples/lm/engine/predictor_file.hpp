// A fitted predictor as a safetensors file, with everything that says what it is for.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <rota/train/predictor_weights.hpp>

namespace rota_lm {

struct model_config;

/// A predictor and what it was fitted for. Layers split .. split + shape.layers - 1, the model's
/// last, are predicted from the attention input of layer `split`.
struct fitted_predictor {
  rota::train::predictor_shape shape;
  std::size_t split = 0;
  std::size_t group_width = 0;
  std::size_t window = 0;  ///< tokens that ask: the last ones, kept whole
  std::string model;       ///< model_identity()
  std::vector<float> parameters;
  /// What else the fit wants to say: samples, steps, losses.
  std::map<std::string, std::string> notes;

  bool conditioned() const { return shape.rank > 0; }
  /// The weights of a model's layer, which must be a predicted one.
  rota::train::predictor_weights<const float> layer(std::size_t model_layer) const {
    return {shape, static_cast<rota::index_t>(model_layer - split), parameters.data()};
  }
};

/// Writes the file, whole or not at all.
void save_predictor(const fitted_predictor& p, const std::string& path);

/// Reads a predictor for this model; `identity` is model_identity(). Throws when the file is not a
/// predictor, was fitted for another model, or its tensors are not what it says.
fitted_predictor load_predictor(const std::string& path, const model_config& c,
                                const std::string& identity);

/// A number that tells predictors apart: of all weights, in hexadecimal.
std::string predictor_identity(const fitted_predictor& p);

}  // namespace rota_lm
