#include "engine/rope_config.hpp"

#include <cmath>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"

namespace rota_lm {

namespace {

double number_or(const json_field& parent, const std::string& key, double low, double high,
                 double otherwise) {
  const auto field = parent.find(key);
  return field ? field->number(low, high) : otherwise;
}

/// Yarn's temperature: grows with the logarithm of the stretch.
double yarn_temperature(double factor, double scale) {
  return factor <= 1.0 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

void read_yarn(const json_field& p, rope_config& rope) {
  rope.kind = rope_kind::yarn;
  rope.beta_fast = number_or(p, "beta_fast", 1e-3, 1e6, 32.0);
  rope.beta_slow = number_or(p, "beta_slow", 1e-3, 1e6, 1.0);
  if (rope.beta_fast < rope.beta_slow) fail(p.where(), "beta_fast is below beta_slow");
  if (const auto truncate = p.find("truncate")) rope.truncate = truncate->boolean();
  const double mscale = number_or(p, "mscale", 0.0, 1e3, 0.0);
  const double mscale_all = number_or(p, "mscale_all_dim", 0.0, 1e3, 0.0);
  rope.attention_factor =
      mscale != 0.0 && mscale_all != 0.0
          ? yarn_temperature(rope.factor, mscale) / yarn_temperature(rope.factor, mscale_all)
          : yarn_temperature(rope.factor, 1.0);
  rope.attention_factor = number_or(p, "attention_factor", 1e-3, 1e3, rope.attention_factor);
}

void read_llama3(const json_field& p, rope_config& rope) {
  rope.kind = rope_kind::llama3;
  rope.low_freq_factor = p.at("low_freq_factor").number(1e-3, 1e6);
  rope.high_freq_factor = p.at("high_freq_factor").number(1e-3, 1e6);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    fail(p.where(), "high_freq_factor must be above low_freq_factor");
  }
}

std::string rope_type(const json_field& p) {
  if (const auto type = p.find("rope_type")) return type->string();
  if (const auto type = p.find("type")) return type->string();
  return "default";
}

void read_rope_scaling(const json_field& root, const json_field& p, std::size_t max_positions,
                       rope_config& rope) {
  for (const auto& [key, value] : p.object().items()) {
    if (value.is_object()) fail(p.where(), "rope parameters per layer type are not supported");
  }
  rope.theta = number_or(p, "rope_theta", 1.0 + 1e-6, 1e12, rope.theta);
  if (number_or(p, "partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0) {
    fail(p.where(), "partial_rotary_factor other than 1 is not supported");
  }
  const std::string type = rope_type(p);
  if (type == "default") return;
  if (type != "linear" && type != "llama3" && type != "yarn") {
    fail(p.where(), "rope type \"" + printable(type, 80) +
                        "\" is not supported; default, linear, llama3 and yarn are");
  }
  rope.factor = p.at("factor").number(1.0, 1e6);
  // The reference lets a value beside the rope parameters win over one among them.
  const auto outside = root.find("original_max_position_embeddings");
  const auto original = outside ? outside : p.find("original_max_position_embeddings");
  rope.original_positions = original ? static_cast<double>(original->count(1, std::size_t{1} << 31))
                                     : static_cast<double>(max_positions);
  if (type == "linear") {
    rope.kind = rope_kind::linear;
    return;
  }
  if (rope.original_positions == 0) fail(p.where(), "no original_max_position_embeddings");
  type == "llama3" ? read_llama3(p, rope) : read_yarn(p, rope);
}

}  // namespace

rope_config read_rope_config(const json_field& root, std::size_t max_positions) {
  rope_config rope;
  rope.theta = number_or(root, "rope_theta", 1.0 + 1e-6, 1e12, rope.theta);
  if (number_or(root, "partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0) {
    fail(root.where(), "partial_rotary_factor other than 1 is not supported");
  }
  std::optional<json_field> parameters = root.find("rope_scaling");
  if (!parameters) parameters = root.find("rope_parameters");
  if (parameters) read_rope_scaling(root, *parameters, max_positions, rope);
  return rope;
}

}  // namespace rota_lm
