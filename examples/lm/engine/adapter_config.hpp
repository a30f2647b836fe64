// adapter_config.json of a PEFT adapter: what is read, what is refused by the setting's name.
#pragma once

#include <string>
#include <vector>

#include <rota/train/lora_shape.hpp>

#include "engine/target.hpp"

namespace rota_lm {

/// What a configuration says of how the tensors beside it are used.
struct adapter_config {
  rota::train::lora_shape shape;  ///< shared by all adapters, but for `in` and `out`
  std::vector<target> targets;    ///< ascending

  /// Tells configurations apart. The tensors' file carries it: the two are written one after the
  /// other, and a process may be killed in between.
  std::string identity() const;
};

/// Throws on settings that are not supported, naming the setting.
adapter_config read_adapter_config(const std::string& path);

/// `base`: the folder or name of the model that the adapters were made for.
void write_adapter_config(const adapter_config& c, const std::string& base,
                          const std::string& path);

}  // namespace rota_lm
