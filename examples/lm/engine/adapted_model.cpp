#include "engine/adapted_model.hpp"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "engine/adapter_file.hpp"
#include "engine/adapters.hpp"
#include "engine/checkpoint.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/value_basis.hpp"
#include "engine/value_routing_file.hpp"

namespace rota_lm {

adapted_model load_adapted(const std::string& directory, const std::string& adapter) {
  model_config config = load_config(directory);
  model_weights weights = load_weights(checkpoint(directory), config);
  const std::string path = adapter + "/value_routing.safetensors";
  routed_values values;
  std::error_code ignored;
  const bool routes = std::filesystem::exists(path, ignored);
  if (routes) values = load_value_routing(path, config);
  const bool adapts = !routes || std::filesystem::exists(adapter + "/adapter_config.json", ignored);
  // adapt writes one file after the other: killed in between, it leaves parts of two runs.
  if (routes && (adapts ? adapters_run(adapter) != values.run : values.adapted))
    fail(path, adapts ? "is of another run than the adapter beside it: adapt again into this folder"
                      : "belongs to an adapter that is not in its folder: adapt again into it");
  model lm(config, fold(std::move(weights), config, values.basis));
  if (adapts)
    lm.adapt(std::make_shared<lora_adapters>(
        fold(load_adapters(adapter, config), config, values.basis)));
  return {std::move(lm), std::move(values.routing)};
}

}  // namespace rota_lm
