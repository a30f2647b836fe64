#include "engine/predictor_file.hpp"

#include <charconv>
#include <cstdint>

#include <rota/core/fingerprint.hpp>

#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/model_tag.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"

namespace rota_lm {

namespace {

constexpr const char* predictor_format = "rota.predictor.1";

/// Calls f(name, view of the tensor [rows, columns], columns) for each tensor of a layer.
template <class T, class F>
void for_each_tensor(const rota::train::predictor_weights<T>& w, std::size_t model_layer, F&& f) {
  const std::string prefix = "layers." + std::to_string(model_layer) + ".";
  f(prefix + "linear", w.linear);
  f(prefix + "bias", rota::view<T, 2>(w.bias.data, w.bias.extent[0], 1));
  if (w.token_factor.extent[0] == 0) return;
  f(prefix + "token_factor", w.token_factor);
  f(prefix + "query_factor", w.query_factor);
  f(prefix + "mix", w.mix);
}

template <class T>
std::size_t count_of(const rota::view<T, 2>& v) {
  return static_cast<std::size_t>(v.extent[0] * v.extent[1]);
}

/// The numbers in a predictor's metadata, checked.
class predictor_metadata {
 public:
  explicit predictor_metadata(const safetensors_file& file) : file_(file) {
    if (text("format") != predictor_format) {
      fail(file.path(), "is not a predictor: format \"" + printable(text("format"), 40) + "\"");
    }
  }
  const std::string& text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) {
      fail(file_.path(), "is not a predictor: no \"" + key + "\" in its metadata");
    }
    return found->second;
  }
  std::size_t count(const std::string& key, std::size_t high) const {
    const std::string& word = text(key);
    std::size_t value = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (problem != std::errc() || end != word.data() + word.size() || value > high) {
      fail(file_.path(), key + " is \"" + printable(word, 40) +
                             "\", must be a whole number up to " + std::to_string(high));
    }
    return value;
  }
  /// A count that must be the model's.
  void same(const std::string& key, std::size_t models) const {
    const std::size_t value = count(key, SIZE_MAX);
    if (value == models) return;
    fail(file_.path(), "was fitted for another model: " + key + " is " + std::to_string(value) +
                           ", the model has " + std::to_string(models));
  }

 private:
  const safetensors_file& file_;
};

}  // namespace

void save_predictor(const fitted_predictor& p, const std::string& path) {
  safetensors_writer out;
  const auto say = [&](const char* key, std::uint64_t value) {
    out.describe(key, std::to_string(value));
  };
  for (const auto& [key, value] : p.notes) out.describe(key, value);
  out.describe("format", predictor_format);
  out.describe("model", p.model);
  say("split", p.split);
  say("layers", p.split + static_cast<std::size_t>(p.shape.layers));
  say("kv_heads", static_cast<std::uint64_t>(p.shape.kv_heads));
  say("hidden", static_cast<std::uint64_t>(p.shape.hidden));
  say("groups", static_cast<std::uint64_t>(p.shape.groups));
  say("rank", static_cast<std::uint64_t>(p.shape.rank));
  say("group_width", p.group_width);
  say("window", p.window);
  for (rota::index_t l = 0; l < p.shape.layers; ++l) {
    const std::size_t layer = p.split + static_cast<std::size_t>(l);
    for_each_tensor(p.layer(layer), layer, [&](const std::string& name, const auto& v) {
      const auto rows = static_cast<std::uint64_t>(v.extent[0]);
      const auto columns = static_cast<std::uint64_t>(v.extent[1]);
      out.add(name, {rows, columns}, {v.data, count_of(v)});
    });
  }
  out.write(path);
}

fitted_predictor load_predictor(const std::string& path, const model_config& c,
                                const std::string& identity) {
  const safetensors_file file(path);
  const predictor_metadata said(file);
  said.same("layers", c.layers);
  said.same("kv_heads", c.kv_heads);
  said.same("hidden", c.hidden_size);
  fitted_predictor p;
  p.model = said.text("model");
  if (p.model != identity) {
    fail(path,
         "was fitted for another model: " + printable(p.model, 20) + ", this one is " + identity);
  }
  p.split = said.count("split", c.layers - 1);
  p.window = said.count("window", 1 << 20);
  p.group_width = said.count("group_width", c.head_dim);
  const std::size_t groups = said.count("groups", rota::max_groups);
  if (groups * p.group_width != c.head_dim) {
    fail(path, std::to_string(groups) + " groups of " + std::to_string(p.group_width) +
                   " do not make a head of " + std::to_string(c.head_dim));
  }
  p.shape = {static_cast<rota::index_t>(c.layers - p.split), static_cast<rota::index_t>(c.kv_heads),
             static_cast<rota::index_t>(groups), static_cast<rota::index_t>(c.hidden_size),
             static_cast<rota::index_t>(said.count("rank", c.hidden_size))};
  std::uint64_t stored = 0;  // before memory is taken for what the file only claims to hold
  for (const auto& [name, tensor] : file.tensors()) stored += tensor.elements;
  if (stored != static_cast<std::uint64_t>(p.shape.parameters())) {
    fail(path, "holds " + std::to_string(stored) + " weights, its shape needs " +
                   std::to_string(p.shape.parameters()));
  }
  p.parameters.resize(static_cast<std::size_t>(p.shape.parameters()));
  p.notes = file.metadata();
  for (std::size_t layer = p.split; layer < c.layers; ++layer) {
    const rota::train::predictor_weights<float> w(
        p.shape, static_cast<rota::index_t>(layer - p.split), p.parameters.data());
    for_each_tensor(w, layer, [&](const std::string& name, const auto& v) {
      const std::uint64_t shape[] = {static_cast<std::uint64_t>(v.extent[0]),
                                     static_cast<std::uint64_t>(v.extent[1])};
      file.check_weight(name, shape);
      file.read_weight(name, {v.data, count_of(v)});
    });
  }
  return p;
}

std::string predictor_identity(const fitted_predictor& p) {
  rota::fingerprint f;
  for (const float x : p.parameters) f.add(x);
  return hexadecimal(f.value());
}

}  // namespace rota_lm
