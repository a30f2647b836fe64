// LoRA adapters as PEFT keeps them: adapter_config.json and adapter_model.safetensors in a folder.
// A routed adapter is an extension of ours: peft_type says ROTA_ROUTED_LORA, so that a program that
// knows only plain ones refuses it, "rota" in the configuration says how it routes, and the
// tensors lora_router.weight [N, in] and lora_router.bias [N] stand beside lora_A and lora_B.
#pragma once

#include <string>

#include "engine/adapters.hpp"

namespace rota_lm {

struct model_config;

/// Reads the adapters in a folder for this model. Throws where the folder is not an adapter, is of
/// a kind that is not supported, or its tensors are of another shape than the model's.
lora_adapters load_adapters(const std::string& folder, const model_config& c);

/// Writes adapters of one shape as a folder, which must exist. `base`: the folder or name of the
/// model that they were made for.
/// `run`: of adapt, for all files that it writes; may be empty.
void save_adapters(const lora_adapters& adapters, const std::string& base,
                   const std::string& folder, const std::string& run = "");

/// The run that the adapters in a folder say they are of; empty when they say none.
std::string adapters_run(const std::string& folder);

/// Removes the adapters in a folder, if there are any.
void remove_adapters(const std::string& folder);

}  // namespace rota_lm
