#include "engine/adapter_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <rota/core/fingerprint.hpp>

#include "engine/checkpoint.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/json.hpp"
#include "engine/model_tag.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"
#include "engine/text_file.hpp"

namespace rota_lm {

namespace {

constexpr const char* routed_type = "ROTA_ROUTED_LORA";
constexpr const char* config_name = "adapter_config.json";
constexpr const char* weights_name = "adapter_model.safetensors";

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

/// What the configuration says of how the tensors are used, as a number that the tensors' file
/// carries: the two are written one after the other, and a process may be killed in between.
std::string setting_of(const lora_shape& s, const std::vector<target>& targets) {
  rota::fingerprint f;
  f.add("lora").add(s.rank).add(s.alpha).add(s.subspaces).add(s.active);
  f.add(static_cast<int>(s.gate));
  for (const target t : targets) f.add(static_cast<int>(t));
  return hexadecimal(f.value());
}

std::string tensor_prefix(std::size_t layer, target t) {
  return "base_model.model.model.layers." + std::to_string(layer) + "." +
         std::string(target_names[static_cast<std::size_t>(t)].second);
}

/// B lies in the file as [out, r], with us as [r, out].
std::vector<float> transposed(std::span<const float> from, std::size_t rows, std::size_t columns) {
  std::vector<float> out(from.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) out[j * rows + i] = from[i * columns + j];
  return out;
}

/// Reads the tensors of one adapter and counts them.
class adapter_reader {
 public:
  explicit adapter_reader(const safetensors_file& file) : file_(file) {}

  adapter_weights read(std::size_t layer, target t, const lora_shape& shape) {
    const std::string prefix = tensor_prefix(layer, t);
    const auto rank = static_cast<std::size_t>(shape.rank), in = static_cast<std::size_t>(shape.in);
    const auto out = static_cast<std::size_t>(shape.out);
    adapter_weights a{shape, {}};
    append(a, prefix + ".lora_A.weight", {rank, in});
    const std::size_t begin = a.numbers.size();
    append(a, prefix + ".lora_B.weight", {out, rank});
    const std::vector<float> up = transposed(std::span(a.numbers).subspan(begin), out, rank);
    std::copy(up.begin(), up.end(), a.numbers.begin() + static_cast<std::ptrdiff_t>(begin));
    if (shape.routed()) {
      const auto n = static_cast<std::size_t>(shape.subspaces);
      append(a, prefix + ".lora_router.weight", {n, in});
      append(a, prefix + ".lora_router.bias", {n});
    }
    return a;
  }

  /// Throws when the file holds tensors that nobody read.
  void check_all_read() const {
    for (const auto& [name, info] : file_.tensors())
      if (!read_.contains(name))
        fail(file_.path(), "tensor \"" + printable(name, 120) +
                               "\" is not what adapter_config.json explains: a target_modules or a "
                               "layer of another model");
  }

 private:
  void append(adapter_weights& a, const std::string& name,
              const std::vector<std::uint64_t>& shape) {
    file_.check_weight(name, shape);  // before memory is taken
    std::uint64_t count = 1;
    for (const std::uint64_t n : shape) count *= n;
    const std::size_t begin = a.numbers.size();
    a.numbers.resize(begin + count);
    file_.read_weight(name, std::span(a.numbers).subspan(begin));
    read_.insert(name);
  }

  const safetensors_file& file_;
  std::set<std::string> read_;
};

}  // namespace

lora_adapters load_adapters(const std::string& folder, const model_config& c) {
  const std::string path = folder + "/" + config_name;
  const json document = read_json(path, {std::size_t{1} << 20, 16});
  const json_field root(document, path);
  refuse_other_kinds(root);
  refuse_changed_base(root);
  const lora_shape shared = read_lora_shape(root);
  const json_field modules = root.at("target_modules");
  refuse_pickled(folder, weights_name);
  const safetensors_file file(folder + "/" + weights_name);
  if (const auto said = file.metadata().find("setting");
      said != file.metadata().end() && said->second != setting_of(shared, read_targets(modules)))
    fail(path, "is of another run than " + std::string(weights_name) +
                   " beside it: adapt again into this folder");
  adapter_reader reader(file);
  lora_adapters::map_type out;
  for (std::size_t l = 0; l < c.layers; ++l)
    for (const target t : read_targets(modules)) {
      lora_shape s = shared;
      const auto [in, width] = shape_of(t, c);
      s.in = static_cast<rota::index_t>(in);
      s.out = static_cast<rota::index_t>(width);
      out.emplace(std::pair(l, t), reader.read(l, t, s));
    }
  reader.check_all_read();
  return lora_adapters(std::move(out));
}

void save_adapters(const lora_adapters& adapters, const std::string& base,
                   const std::string& folder, const std::string& run) {
  const lora_shape shape = adapters.adapters().begin()->second.shape;
  std::set<std::string> modules;
  std::set<target> targets;
  safetensors_writer out;
  std::vector<std::vector<float>> kept;  // the writer refers to what it writes
  kept.reserve(adapters.adapters().size());
  for (const auto& [place, a] : adapters.adapters()) {
    const std::string_view name = target_names[static_cast<std::size_t>(place.second)].second;
    modules.emplace(name.substr(name.find('.') + 1));
    targets.insert(place.second);
    const std::string prefix = tensor_prefix(place.first, place.second);
    const rota::train::lora_views<const float> v(a.shape, a.numbers.data());
    const auto n = [](rota::index_t x) { return static_cast<std::uint64_t>(x); };
    const auto span_of = [](const auto& w) {
      return std::span(w.data, static_cast<std::size_t>(w.extent[0] * w.extent[1]));
    };
    out.add(prefix + ".lora_A.weight", {n(a.shape.rank), n(a.shape.in)}, span_of(v.down));
    kept.push_back(transposed(span_of(v.up), n(a.shape.rank), n(a.shape.out)));
    out.add(prefix + ".lora_B.weight", {n(a.shape.out), n(a.shape.rank)}, kept.back());
    if (!a.shape.routed()) continue;
    out.add(prefix + ".lora_router.weight", {n(a.shape.subspaces), n(a.shape.in)},
            span_of(v.router));
    out.add(prefix + ".lora_router.bias", {n(a.shape.subspaces)},
            {v.router_bias.data, static_cast<std::size_t>(a.shape.subspaces)});
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
  if (!run.empty()) out.describe("run", run);
  out.describe("setting", setting_of(shape, {targets.begin(), targets.end()}));
  const auto as_text = nlohmann::ordered_json::error_handler_t::replace;  // names may be no UTF-8
  out.write(folder + "/" + weights_name);
  write_file(folder + "/" + config_name, config.dump(2, ' ', false, as_text) + "\n");
}

std::string adapters_run(const std::string& folder) {
  const safetensors_file file(folder + "/" + weights_name);
  const auto found = file.metadata().find("run");
  return found == file.metadata().end() ? "" : found->second;
}

void remove_adapters(const std::string& folder) {
  for (const char* name : {config_name, weights_name}) {
    std::error_code problem;
    std::filesystem::remove(folder + "/" + name, problem);
    if (problem) fail(folder + "/" + name, "cannot be removed: " + problem.message());
  }
}

}  // namespace rota_lm
