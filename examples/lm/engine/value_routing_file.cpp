#include "engine/value_routing_file.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <rota/rota.hpp>

#include "engine/config.hpp"
#include "engine/error.hpp"
#include "engine/safetensors.hpp"
#include "engine/safetensors_writer.hpp"

namespace rota_lm {

namespace {

constexpr const char* value_routing_format = "rota.value_routing.1";

/// The metadata of a value routing, checked.
class routing_reader {
 public:
  routing_reader(const safetensors_file& file, const model_config& c) : file_(file) {
    if (text("format") != value_routing_format)
      fail(file.path(), "is not a value routing: format \"" + printable(text("format"), 40) + "\"");
    same("layers", c.layers);
    same("kv_heads", c.kv_heads);
    same("hidden", c.hidden_size);
    same("head_dim", c.head_dim);
  }

  const std::string& text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end())
      fail(file_.path(), "is not a value routing: no \"" + key + "\" in its metadata");
    return found->second;
  }
  template <class Table>
  auto word(const Table& table, const std::string& key) const {
    for (const auto& [name, value] : table)
      if (name == text(key)) return value;
    fail(file_.path(), key + " is \"" + printable(text(key), 40) + "\", which is not known");
  }
  std::size_t count(const std::string& key, std::size_t low, std::size_t high) const {
    const std::string& word = text(key);
    std::size_t value = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (problem != std::errc() || end != word.data() + word.size() || value < low || value > high)
      fail(file_.path(), key + " is \"" + printable(word, 40) + "\", must be a whole number in [" +
                             std::to_string(low) + ", " + std::to_string(high) + "]");
    return value;
  }
  std::vector<float> tensor(const std::string& name, std::vector<std::uint64_t> shape) const {
    file_.check_weight(name, shape);  // before memory is taken
    std::uint64_t n = 1;
    for (const std::uint64_t s : shape) n *= s;
    std::vector<float> out(n);
    file_.read_weight(name, out);
    return out;
  }

 private:
  void same(const std::string& key, std::size_t models) const {
    const std::size_t value = count(key, 0, SIZE_MAX);
    if (value != models)
      fail(file_.path(), "was made for another model: " + key + " is " + std::to_string(value) +
                             ", the model has " + std::to_string(models));
  }

  const safetensors_file& file_;
};

std::string layer_prefix(std::size_t layer) {
  return "layers." + std::to_string(layer) + ".";
}

std::vector<int> read_order(const std::vector<float>& from, std::size_t groups,
                            const std::string& path) {
  std::vector<int> out;
  for (std::size_t i = 0; i < from.size(); i += groups) {
    unsigned seen = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      const float x = from[i + g];
      if (!(x >= 0 && x < static_cast<float>(groups)) || x != std::floor(x))
        fail(path, "has an order of groups that is none");
      seen |= 1u << static_cast<unsigned>(x);
      out.push_back(static_cast<int>(x));
    }
    if (seen != (1u << groups) - 1) fail(path, "has an order of groups that names one twice");
  }
  return out;
}

/// Values are turned by R and back by its transpose: anything else than a rotation would change
/// what the model computes.
void check_orthogonal(const value_basis& basis, const model_config& c, const std::string& path) {
  const std::size_t d = c.head_dim;
  for (std::size_t head = 0; head * d * d < basis.numbers.size(); ++head) {
    const float* const r = basis.numbers.data() + head * d * d;
    for (std::size_t i = 0; i < d * d; ++i) {
      const float *const a = r + i / d * d, *const b = r + i % d * d;
      double dot = 0;
      for (std::size_t j = 0; j < d; ++j) dot += static_cast<double>(a[j]) * b[j];
      if (!(std::abs(dot - (a == b ? 1 : 0)) < 1e-3))
        fail(path, "\"basis\" of layer " + std::to_string(head / c.kv_heads) + ", kv head " +
                       std::to_string(head % c.kv_heads) + " is not orthogonal");
    }
  }
}

}  // namespace

void save_value_routing(const routed_values& values, const model_config& c,
                        const std::string& path) {
  const value_routing& v = values.routing;
  safetensors_writer out;
  const auto say = [&](const char* key, std::size_t n) { out.describe(key, std::to_string(n)); };
  out.describe("format", value_routing_format);
  say("layers", c.layers);
  say("kv_heads", c.kv_heads);
  say("hidden", c.hidden_size);
  say("head_dim", c.head_dim);
  if (!values.run.empty()) out.describe("run", values.run);
  if (values.adapted) out.describe("adapters", "1");
  out.describe("rule", detail::word_of(group_rule_names, v.rule));
  out.describe("router", detail::word_of(router_form_names, v.form));
  out.describe("fill", detail::word_of(fill_kind_names, v.fill));
  say("group_width", v.group_width);
  say("fill_rank", v.fill_rank);
  say("sinks", v.sinks);
  say("window", v.window);
  const auto n = [](std::size_t x) { return static_cast<std::uint64_t>(x); };
  const std::size_t groups = v.groups(c);
  std::vector<float> table;
  for (const span_threshold& t : v.thresholds)
    table.insert(table.end(), {static_cast<float>(t.rho), t.threshold});
  out.add("thresholds", {n(v.thresholds.size()), 2}, table);
  std::vector<std::vector<float>> orders;
  orders.reserve(v.layers.size());
  for (std::size_t l = 0; l < v.layers.size(); ++l) {
    const layer_routing& layer = v.layers[l];
    const std::string prefix = layer_prefix(l);
    const std::size_t outputs = router_outputs(v.form, c.kv_heads, groups);
    if (!layer.router_weight.empty()) {
      out.add(prefix + "router.weight", {n(outputs), n(c.hidden_size)}, layer.router_weight);
      out.add(prefix + "router.bias", {n(outputs)}, layer.router_bias);
    }
    if (!layer.encode.empty()) {
      out.add(prefix + "fill.encode", {n(c.kv_heads), n(v.fill_rank), n(c.head_dim)}, layer.encode);
      out.add(prefix + "fill.decode", {n(c.kv_heads), n(v.fill_rank), n(c.head_dim)}, layer.decode);
    }
    if (!layer.order.empty()) {
      orders.emplace_back(layer.order.begin(), layer.order.end());
      out.add(prefix + "order", {n(c.kv_heads), n(groups)}, orders.back());
    }
  }
  if (!values.basis.identity())
    out.add("basis", {n(c.layers), n(c.kv_heads), n(c.head_dim), n(c.head_dim)},
            values.basis.numbers);
  out.write(path);
}

routed_values load_value_routing(const std::string& path, const model_config& c) {
  const safetensors_file file(path);
  const routing_reader said(file, c);
  routed_values out;
  value_routing& v = out.routing;
  v.rule = said.word(group_rule_names, "rule");
  v.form = said.word(router_form_names, "router");
  v.fill = said.word(fill_kind_names, "fill");
  v.group_width = said.count("group_width", 1, c.head_dim);
  if (c.head_dim % v.group_width != 0 || v.groups(c) > rota::max_groups)
    fail(path, "groups of " + std::to_string(v.group_width) + " do not cut heads of " +
                   std::to_string(c.head_dim) + " into 1 to 16");
  v.fill_rank = said.count("fill_rank", 0, rota::max_code_rank);
  v.sinks = said.count("sinks", 0, 1 << 20);
  v.window = said.count("window", 0, 1 << 20);
  const auto n = [](std::size_t x) { return static_cast<std::uint64_t>(x); };
  const std::vector<std::uint64_t> table = file.info("thresholds").shape;
  if (table.size() != 2 || table[1] != 2) fail(path, "\"thresholds\" is not two columns");
  const std::vector<float> thresholds = said.tensor("thresholds", table);
  for (std::size_t i = 0; i < thresholds.size(); i += 2) {
    if (!(thresholds[i] > 0 && thresholds[i] <= 1))
      fail(path, "\"thresholds\" has a rho outside (0, 1]");
    v.thresholds.push_back({thresholds[i], thresholds[i + 1]});
  }
  if (const auto run = file.metadata().find("run"); run != file.metadata().end())
    out.run = run->second;
  out.adapted = file.metadata().contains("adapters");
  for (std::size_t l = 0; l < c.layers; ++l) {
    const std::string prefix = layer_prefix(l);
    layer_routing layer;
    const std::size_t outputs = router_outputs(v.form, c.kv_heads, v.groups(c));
    if (is_learned(v.rule)) {
      layer.router_weight = said.tensor(prefix + "router.weight", {n(outputs), n(c.hidden_size)});
      layer.router_bias = said.tensor(prefix + "router.bias", {n(outputs)});
    }
    if (v.fill == fill_kind::low_rank) {
      if (v.fill_rank == 0) fail(path, "a low-rank fill of rank 0");
      const std::vector<std::uint64_t> shape = {n(c.kv_heads), n(v.fill_rank), n(c.head_dim)};
      layer.encode = said.tensor(prefix + "fill.encode", shape);
      layer.decode = said.tensor(prefix + "fill.decode", shape);
    }
    if (v.rule == group_rule::fixed_groups)
      layer.order = read_order(said.tensor(prefix + "order", {n(c.kv_heads), n(v.groups(c))}),
                               v.groups(c), path);
    v.layers.push_back(std::move(layer));
  }
  if (file.contains("basis"))
    out.basis.numbers =
        said.tensor("basis", {n(c.layers), n(c.kv_heads), n(c.head_dim), n(c.head_dim)});
  check_orthogonal(out.basis, c, path);
  return out;
}

}  // namespace rota_lm
