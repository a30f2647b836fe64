#include "engine/adapter_file.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "engine/adapter_config.hpp"
#include "engine/checkpoint.hpp"
#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"

namespace rota_lm {

namespace {

constexpr const char* config_name = "adapter_config.json";
constexpr const char* weights_name = "adapter_model.safetensors";

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
  const adapter_config config = read_adapter_config(path);
  refuse_pickled(folder, weights_name);
  const safetensors_file file(folder + "/" + weights_name);
  if (const auto said = file.metadata().find("config");
      said != file.metadata().end() && said->second != config.identity())
    fail(path, "does not belong to " + std::string(weights_name) +
                   " beside it: it is of another run, or was changed");
  adapter_reader reader(file);
  lora_adapters::map_type out;
  for (std::size_t l = 0; l < c.layers; ++l)
    for (const target t : config.targets) {
      lora_shape s = config.shape;
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
  std::set<target> targets;
  safetensors_writer out;
  std::vector<std::vector<float>> kept;  // the writer refers to what it writes
  kept.reserve(adapters.adapters().size());
  for (const auto& [place, a] : adapters.adapters()) {
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
  const adapter_config config{adapters.adapters().begin()->second.shape,
                              {targets.begin(), targets.end()}};
  if (!run.empty()) out.describe("run", run);
  out.describe("config", config.identity());
  out.write(folder + "/" + weights_name);
  write_adapter_config(config, base, folder + "/" + config_name);
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
