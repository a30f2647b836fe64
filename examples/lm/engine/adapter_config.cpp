#include "engine/adapter_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include <nlohmann/json.hpp>

#include <rota/core/fingerprint.hpp>

#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/model_tag.hpp"
#include "engine/text_file.hpp"

namespace rota_lm {

namespace {

using rota::train::gate_kind;
using rota::train::lora_shape;

constexpr const char* routed_type = "ROTA_ROUTED_LORA";

/// A whole number in [low, high].
std::size_t whole(const json_field& f, std::size_t low, std::size_t high) {
  const json& v = f.value();
  if (!v.is_number_unsigned() || v.get<std::uint64_t>() < low || v.get<std::uint64_t>() > high)
    fail(f.where(),
         "must be a whole number in [" + std::to_string(low) + ", " + std::to_string(high) + "]");
  return v.get<std::size_t>();
}

/// Settings of PEFT that are read below or do not change what a trained adapter computes.
constexpr std::array<std::string_view, 18> known_settings = {"r",
                                                             "lora_alpha",
                                                             "peft_type",
                                                             "target_modules",
                                                             "bias",
                                                             "use_rslora",
                                                             "init_lora_weights",
                                                             "rota",
                                                             "auto_mapping",
                                                             "base_model_name_or_path",
                                                             "inference_mode",
                                                             "lora_dropout",
                                                             "megatron_core",
                                                             "peft_version",
                                                             "qalora_group_size",
                                                             "revision",
                                                             "runtime_config",
                                                             "task_type"};

/// Whatever else a setting is for, it must be off: PEFT's list grows, and an adapter of a kind that
/// is not known here would be applied as a plain one.
void refuse_other_kinds(const json_field& root) {
  for (const auto& [name, value] : root.object().items()) {
    if (std::ranges::find(known_settings, name) != known_settings.end()) continue;
    const bool off = value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
                     ((value.is_object() || value.is_array()) && value.empty());
    if (!off)
      fail(root.at(name).where(),
           "is not supported: merge the adapter into its model (merge_and_unload) or train "
           "without it");
  }
  if (const auto bias = root.find("bias"); bias && bias->string() != "none")
    fail(bias->where(), "is \"" + printable(bias->string(), 40) + "\", only none is supported");
}

/// Some initialisations (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take what the adapter begins with out
/// of the base model's weights; PEFT does so again when it loads one. Here the base stays as it is.
void refuse_changed_base(const json_field& root) {
  const auto field = root.find("init_lora_weights");
  if (!field || field->value().is_boolean()) return;
  for (const char* plain : {"gaussian", "orthogonal", "mica", "eva"})
    if (field->string() == plain) return;
  fail(
      field->where(),
      "is \"" + printable(field->string(), 40) +
          "\", which changes the base weights: save the adapter again with save_pretrained(folder, "
          "path_initial_model_for_weight_conversion=...), which makes it a plain one");
}

/// The targets of a list of module names: "q_proj", or a longer path that ends with it.
std::vector<target> read_targets(const json_field& list) {
  if (!list.value().is_array())
    fail(list.where(), "must be a list of module names, a pattern is not supported");
  std::set<target> out;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const json_field name = list.at(i);
    const auto found = std::find_if(target_names.begin(), target_names.end(), [&](const auto& t) {
      const std::string_view module = t.second.substr(t.second.find('.') + 1);
      return name.string() == module || name.string().ends_with("." + std::string(module));
    });
    if (found == target_names.end())
      fail(name.where(), "\"" + printable(name.string(), 60) + "\" is not a projection of a layer");
    out.insert(found->first);
  }
  if (out.empty()) fail(list.where(), "names no module");
  return {out.begin(), out.end()};
}

void read_routing(const json_field& root, lora_shape& s) {
  const json_field routing = root.at("rota");
  s.subspaces = static_cast<int>(whole(routing.at("subspaces"), 2, 256));
  s.active = static_cast<int>(whole(routing.at("active"), 1, 256));
  if (s.active > s.subspaces)
    fail(routing.at("active").where(),
         "is more than the " + std::to_string(s.subspaces) + " subspaces");
  if (s.rank % s.subspaces != 0)
    fail(root.at("r").where(), "a rank of " + std::to_string(s.rank) + " is not a multiple of " +
                                   std::to_string(s.subspaces) + " subspaces");
  const json_field gate = routing.at("gate");
  if (gate.string() == "sigmoid")
    s.gate = gate_kind::sigmoid;
  else if (gate.string() != "softmax")
    fail(gate.where(), "must be softmax or sigmoid");
}

/// The shape that all adapters share, but for `in` and `out`.
lora_shape read_lora_shape(const json_field& root) {
  lora_shape s;
  s.rank = static_cast<rota::index_t>(whole(root.at("r"), 1, 1 << 16));
  const json_field alpha = root.at("lora_alpha");
  s.alpha = alpha.number(-1e6, 1e6);
  if (const auto rs = root.find("use_rslora"); rs && rs->boolean())
    s.alpha *= std::sqrt(static_cast<double>(s.rank));  // alpha / sqrt(r) is what scales then
  const json_field type = root.at("peft_type");
  if (type.string() == routed_type)
    read_routing(root, s);
  else if (type.string() != "LORA")
    fail(type.where(), "\"" + printable(type.string(), 40) + "\" is not LORA or " + routed_type);
  return s;
}

}  // namespace

std::string adapter_config::identity() const {
  rota::fingerprint f;
  f.add("lora").add(shape.rank).add(shape.alpha).add(shape.subspaces).add(shape.active);
  f.add(static_cast<int>(shape.gate));
  for (const target t : targets) f.add(static_cast<int>(t));
  return hexadecimal(f.value());
}

adapter_config read_adapter_config(const std::string& path) {
  const json document = read_json(path, {std::size_t{1} << 20, 16});
  const json_field root(document, path);
  refuse_other_kinds(root);
  refuse_changed_base(root);
  return {read_lora_shape(root), read_targets(root.at("target_modules"))};
}

void write_adapter_config(const adapter_config& c, const std::string& base,
                          const std::string& path) {
  const lora_shape& shape = c.shape;
  std::set<std::string> modules;
  for (const target t : c.targets) {
    const std::string_view name = target_names[static_cast<std::size_t>(t)].second;
    modules.emplace(name.substr(name.find('.') + 1));
  }
  nlohmann::ordered_json config = {{"peft_type", shape.routed() ? routed_type : "LORA"},
                                   {"task_type", "CAUSAL_LM"},
                                   {"base_model_name_or_path", base},
                                   {"r", shape.rank},
                                   {"lora_alpha", shape.alpha},
                                   {"lora_dropout", 0.0},
                                   {"target_modules", modules},
                                   {"bias", "none"},
                                   {"fan_in_fan_out", false},
                                   {"use_rslora", false},
                                   {"use_dora", false},
                                   {"inference_mode", true}};
  if (shape.routed())
    config["rota"] = {{"subspaces", shape.subspaces},
                      {"active", shape.active},
                      {"gate", shape.gate == gate_kind::softmax ? "softmax" : "sigmoid"}};
  const auto as_text = nlohmann::ordered_json::error_handler_t::replace;  // names may be no UTF-8
  write_file(path, config.dump(2, ' ', false, as_text) + "\n");
}

}  // namespace rota_lm
