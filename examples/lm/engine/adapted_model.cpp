#include "engine/adapted_model.hpp"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "engine/adapter_file.hpp"
#include "engine/adapters.hpp"
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
  model lm(config, fold(std::move(weights), config, values.basis));
  if (!routes || std::filesystem::exists(adapter + "/adapter_config.json", ignored))
    lm.adapt(std::make_shared<lora_adapters>(
        fold(load_adapters(adapter, config), config, values.basis)));
  return {std::move(lm), std::move(values.routing)};
}

}  // namespace rota_lm
